"""tabular learns the same on devices and hosts, and after an interruption."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from algoshelf.core import Artifact
from algoshelf.core.data.schema import Schema
from algoshelf.core.runtime import params

from tests.conftest import Algoshelf, InProcess
from tests.core.training.test_cluster import start_roles

SETTINGS = (
    "--ignore", "price", "--epochs", 4, "--members", 2, "--hidden", 8, "--batch-size", 32
)  # fmt: skip
FILES = ("algorithm.json", "model-0000.params", "model-symbol.json")


@pytest.fixture(scope="module")
def alone(flats: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    return metrics(InProcess(tmp_path_factory.mktemp("alone")), flats)


def metrics(algoshelf: Algoshelf, table: Path, *options: object) -> dict[str, float]:
    command = ("train", "tabular", "--train", table, *SETTINGS, *options, "--output", "m")
    result = algoshelf(*command)
    assert result.code == 0, result.stderr
    return dict(Artifact.open(algoshelf.folder / "m").metadata.metrics)


@pytest.mark.parametrize("how", [("--devices", "cpu:2"), ("--devices", "cpu:4"), ("--hosts", 2)])
def test_devices_and_hosts_learn_the_same(
    flats: Path,
    alone: dict[str, float],
    algoshelf: Algoshelf,
    in_process: InProcess,
    how: tuple[object, ...],
) -> None:
    run = algoshelf if "--hosts" in how else in_process
    assert metrics(run, flats, *how) == pytest.approx(alone, abs=1e-4)


def test_a_resumed_training_ends_with_the_same_bytes(flats: Path, in_process: InProcess) -> None:
    command = ("train", "tabular", "--train", flats, *SETTINGS, "--dropout", 0.2)
    kept = ("--checkpoints", "c", "--checkpoint-every", "0.01s")
    assert in_process(*command, "--output", "whole").code == 0
    assert in_process(*command, "--output", "a", *kept).code == 0
    shutil.rmtree(max((in_process.folder / "c").glob("step-*")))
    resumed = in_process(*command, "--output", "b", *kept)
    assert "resuming after step" in resumed.stderr
    for name in FILES:
        whole = (in_process.folder / "whole" / name).read_bytes()
        assert (in_process.folder / "a" / name).read_bytes() == whole
        assert (in_process.folder / "b" / name).read_bytes() == whole


def test_killed_it_ends_with_the_same_bytes(
    flats: Path, algoshelf: Algoshelf, in_process: InProcess
) -> None:
    command = ("train", "tabular", "--train", flats, *SETTINGS, "--epochs", 40)
    kept = ("--checkpoints", "c", "--output", "m")
    assert in_process(*command, "--output", "whole").code == 0
    process = algoshelf.start(*command, *kept, "--checkpoint-every", "0.05s")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch=3 "):
            break
    process.kill()
    process.stderr.close()
    process.wait()
    assert not (algoshelf.folder / "m").exists()
    done = in_process(*command, *kept)
    assert "resuming after step" in done.stderr
    for name in FILES:
        whole = (algoshelf.folder / "whole" / name).read_bytes()
        assert (algoshelf.folder / "m" / name).read_bytes() == whole


def unlike_tables(folder: Path) -> list[Path]:
    """All rows, and those of two hosts: with categories, a range and months of their own; a column
    that is all gaps on one; a category that is rare on each but not on both; a constant on each.
    """
    rng = np.random.default_rng(5)
    header, hosts = "x,place,level,when,site,label", []
    for host, (low, places) in enumerate(((0, "ab"), (50, "bc"))):
        rows = []
        for row in range(64):
            x, place = low + int(rng.integers(40)), places[int(rng.integers(2))]
            place = "rare" if row == 7 else place
            level = "" if host == 0 else int(rng.integers(5))
            when = f"2020-{1 + 6 * host + row % 3:02}-{1 + row % 28:02}"
            label = "yes" if rng.random() < (x + 20 * (place == "b")) / 120 else "no"
            rows.append(f"{x},{place},{level},{when},{host},{label}")
        hosts.append(rows)
    paths = [folder / name for name in ("all.csv", "one.csv", "two.csv")]
    for path, rows in zip(paths, ([*hosts[0], *hosts[1]], *hosts)):
        path.write_text("\n".join([header, *rows]) + "\n")
    return paths


def test_hosts_with_unlike_tables_learn_what_one_learns_from_all(tmp_path: Path) -> None:
    """Each step takes all rows, so that their order makes no difference: the same encoding, the
    same threshold, the same parameters.
    """
    whole, *parts = unlike_tables(tmp_path)
    program = str(Path(sys.executable).parent / "algoshelf")
    options = (
        "--epochs", 12, "--members", 2, "--hidden", 8, "--batch-size", 128,
        "--class-weights", "balanced", "--cost-fn", 3, "--cost-fp", 1, "--validation", whole,
    )  # fmt: skip
    commands = [
        [program, "train", "tabular", "--train", str(path), *map(str, options), "--output", name]
        for path, name in zip((whole, *parts), ("alone", "m", "m"))
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    alone = subprocess.run(
        commands[0], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert alone.returncode == 0, alone.stderr
    processes = start_roles(tmp_path, environment, commands[1:])
    try:
        logs = [each.communicate(timeout=200)[1] for each in processes]
    finally:
        for each in processes:
            each.kill()
    assert [each.returncode for each in processes] == [0] * 4, logs
    found, expected = (Artifact.open(tmp_path / name) for name in ("m", "alone"))
    mine, theirs = found.metadata.encoding, expected.metadata.encoding
    for some, expected_ones in zip(mine["borders"], theirs["borders"]):
        assert some == pytest.approx(expected_ones)
    decisions = [dict(each["decision"]) for each in (mine, theirs)]
    thresholds = [each.pop("threshold") for each in decisions]
    assert thresholds[0] == pytest.approx(thresholds[1], abs=1e-4)
    assert decisions[0] == decisions[1]
    schemas = [Schema.from_json(each["schema"]) for each in (mine, theirs)]
    assert schemas[0].encoded == schemas[1].encoded
    assert any(column.name == "site" and not column.left_out for column in schemas[0].columns)
    assert found.metadata.metrics == pytest.approx(expected.metadata.metrics, abs=1e-4)
    arrays = [params.read(tmp_path / name / "model-0000.params").arrays for name in ("m", "alone")]
    for name, values in arrays[1].items():
        assert np.abs(values - arrays[0][name]).max() < 1e-4 * max(1, np.abs(values).max()), name
