"""The page of all measurements is that of the kept files, and each of them can be repeated."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

BENCHMARKS = ROOT / "benchmarks"


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_page_is_what_the_kept_files_make_of_it() -> None:
    checked = run(BENCHMARKS / "page.py", "--check")
    assert checked.returncode == 0, checked.stderr


def test_every_measurement_has_its_program_and_pins_its_peers() -> None:
    listed = run(BENCHMARKS / "run.py")
    assert listed.returncode == 0, listed.stderr
    lines = [line.split() for line in listed.stdout.splitlines()]
    assert len(lines) > 40
    for _, program, *words in lines:
        assert program == "make" or (BENCHMARKS / program).is_file(), program
        for name in re.findall(r"{peer:([^}]*)}", " ".join(words)):
            pins = (BENCHMARKS / "peers" / f"{name}.txt").read_text().splitlines()
            packages = [line for line in pins if not line.startswith(("#", "--"))]
            assert packages, name
            assert all(re.fullmatch(r"[a-z-]+==[0-9.]+", line) for line in packages), name


def test_what_a_measurement_needs_is_asked_for() -> None:
    unknown = run(BENCHMARKS / "run.py", "nonsense")
    assert unknown.returncode != 0
    assert "nonsense: no such measurement" in unknown.stderr
    lacking = run(BENCHMARKS / "run.py", "scaling")
    assert lacking.returncode != 0
    assert "scaling needs --cifar10" in lacking.stderr


ZEN4 = "AMD EPYC, Zen 4 (family 25, model 17), AVX-512"
SHOWN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import page
page.ROOT = Path(sys.argv[2])
page.RESULTS = page.ROOT / "results"
print(page.page())
"""


def shown(folder: Path) -> subprocess.CompletedProcess[str]:
    return run("-c", SHOWN, BENCHMARKS, folder)


def keep(folder: Path, place: str, processor: str, date: str, ratio: float) -> Path:
    file = folder / "results" / f"scaling-{place}-2cores-py3.11-mxnet1.9.1.json"
    known = {"processor": processor, "cores": 2, "python": "3.11.7", "mxnet": "1.9.1"}
    of_ratio = {"ratios": {"2 / 1": [ratio, ratio]}, "median_ratios": {"2 / 1": ratio}}
    document = {"what": "images", **of_ratio, "environment": {**known, "algoshelf": "1"}}
    document["environment"].update({"date": date} if date else {})
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(document))
    return file


def test_two_processors_stand_side_by_side_and_the_older_is_named(tmp_path: Path) -> None:
    keep(tmp_path, "amd-zen5", "AMD EPYC, family 26", "2026-11-20", 1.25)
    keep(tmp_path, "amd-zen4", ZEN4, "2026-11-28", 1.5)
    done = shown(tmp_path)
    assert done.returncode == 0, done.stderr
    at = done.stdout.index("[scaling]")
    first, second = done.stdout[at:].splitlines()[:2]
    assert "AMD Zen 4, 2026-11-28 | images | 2 / 1 | 1.50" in first
    assert "AMD Zen 5, 2026-11-20 (older) |  | 2 / 1 | 1.25" in second
    assert f"- **AMD Zen 4**: {ZEN4}, 2 cores" in done.stdout


def test_a_kept_file_has_the_name_of_its_processor_and_a_date(tmp_path: Path) -> None:
    file = keep(tmp_path, "amd-zen5", ZEN4, "2026-11-28", 1.5)
    done = shown(tmp_path)
    assert done.returncode != 0
    assert "its `environment` says amd-zen4-2cores-py3.11-mxnet1.9.1" in done.stderr
    file.unlink()
    keep(tmp_path, "amd-zen4", ZEN4, "", 1.5)
    assert 'no "date"' in shown(tmp_path).stderr
