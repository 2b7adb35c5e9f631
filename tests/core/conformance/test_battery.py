"""The battery bites: each broken plugin fails the one check meant for it, the sound ones none."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from algoshelf.core.conformance import CHECKS, Finding, check_algorithm

from tests.conftest import ROOT

SCAFFOLD = ROOT / "registry" / "cli" / "scaffold" / "my-algorithm"
for folder in (SCAFFOLD, Path(__file__).parent / "plugins"):
    sys.path.insert(0, str(folder))  # here, and in the processes that the battery starts
broken = importlib.import_module("broken")

# What stands in the source of a module, before a sound plugin.
SOUND = "from my_algorithm import MyAlgorithm\n\n\nclass Plugin(MyAlgorithm):\n    pass\n"
SOURCES = {
    "matches": ("python-3-8", "def f(x):\n    match x:\n        case 1: return 2\n\n\n"),
    "evaluates": ("python-3-8", "def f(x: int | None) -> list[int]: return [x]\n\n\n"),
    "imports_mxnet": ("imports", "import mxnet\n\n\n"),
    "uses_mxnet": (
        "imports",
        "from algoshelf.core import mx\n\n\nclass Net(mx.gluon.HybridBlock): pass\n\n\n",
    ),
    "imports_aws": ("imports", "def f():\n    import boto3\n\n\n"),
    "imports_the_registry": ("imports", "from algoshelf.registry import catalog\n\n\n"),
    "sleeps": (  # in the process that is measured
        "import-time",
        "import sys, time\n"
        "if sys.argv[0] == '-c' and 'trained' not in sys.argv[-1]:\n"
        "    time.sleep(2)\n\n\n",
    ),
}


def failed(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.advice for finding in findings if finding.status == "failed"}


def well_said(findings: list[Finding]) -> bool:
    """Every fault says what is wrong and what to change, every skipped check why."""
    return all(
        all(fault.wrong.strip() and fault.change.strip() for fault in finding.faults)
        and (finding.ok or finding.advice)
        for finding in findings
    )


def test_the_scaffold_is_sound() -> None:
    from my_algorithm import MyAlgorithm

    findings = check_algorithm(MyAlgorithm)
    assert [finding.name for finding in findings] == list(CHECKS)
    assert all(finding.ok for finding in findings), failed(findings)


@pytest.mark.parametrize("plugin", broken.BROKEN, ids=lambda cls: cls.__name__)
def test_a_broken_plugin_fails_the_check_meant_for_it(plugin: Any) -> None:
    findings = check_algorithm(plugin)
    assert list(failed(findings)) == [plugin.breaks], failed(findings)
    assert well_said(findings)


@pytest.mark.parametrize("name", SOURCES)
def test_a_broken_module_fails_the_check_meant_for_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, head = SOURCES[name]
    (tmp_path / f"{name}.py").write_text(head + SOUND)
    monkeypatch.syspath_prepend(tmp_path)
    findings = check_algorithm(importlib.import_module(name).Plugin)
    assert list(failed(findings)) == [expected], failed(findings)
    assert well_said(findings)


def test_every_check_is_bitten_by_a_broken_plugin() -> None:
    bitten = {plugin.breaks for plugin in broken.BROKEN}
    assert bitten | {check for check, _ in SOURCES.values()} == set(CHECKS)
