"""conformance: the checks that every algorithm must pass, built-in or from a plugin.

    from algoshelf.core.conformance import conformance_tests
    test_conformance = conformance_tests(MyAlgorithm)      # in a test module: one case per check

May import core only; pytest is imported only when a test asks for its cases.
"""

# ruff: noqa: I001 - checks are shown in the order in which they are imported

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterable, Mapping

from ..algorithm.declaration import OF_JOBS
from . import static_checks, training_checks, serving_checks  # noqa: F401 - in their order
from .battery import CHECKS, Battery, Check, Fault, Finding

__all__ = [
    "CHECKS",
    "Battery",
    "Check",
    "Fault",
    "Finding",
    "check_algorithm",
    "conformance_tests",
]


def check_algorithm(
    algorithm: Any,
    channels: Mapping[str, str | Path] | None = None,
    only: Iterable[str] | None = None,
    reserved: Mapping[str, str] = OF_JOBS,
) -> list[Finding]:
    """What each check, or each of ``only``, finds about ``algorithm``, a class or an instance.

    It trains on ``channels`` (name to path), or else on the bundled sample, with the class's
    ``check_hyperparameters`` and on a part of the examples. Whatever a plugin raises becomes a
    finding. ``reserved`` are the names that its flags may not have, as
    ``algoshelf.registry.cli.flags.reserved()`` reads them from the commands. Raises
    UnknownNameError for a check that does not exist.
    """
    with Battery(algorithm, channels, reserved) as battery:
        return [battery.run(name) for name in (CHECKS if only is None else list(only))]


def conformance_tests(
    algorithm: Any,
    channels: Mapping[str, str | Path] | None = None,
    reserved: Mapping[str, str] = OF_JOBS,
) -> Callable[[str], None]:
    """A test function for pytest: one case for each check of ``algorithm``.

    Cases may be chosen (``-k determinism``) and may come in any order; what they share is trained
    once.
    """
    import pytest

    battery = Battery(algorithm, channels, reserved)

    @pytest.mark.parametrize("check", list(CHECKS))
    def test_conformance(check: str) -> None:
        finding = battery.run(check)
        if finding.status == "skipped":
            pytest.skip(finding.reason)
        if finding.status == "failed":
            pytest.fail(f"{finding.holds}\n{finding.advice}", pytrace=False)

    return test_conformance
