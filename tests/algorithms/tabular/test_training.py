"""tabular learns the same on devices and hosts, and after an interruption."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from algoshelf.core import Artifact

from tests.conftest import Algoshelf, InProcess

SETTINGS = (
    "--ignore", "price", "--epochs", 4, "--members", 2, "--hidden", 8, "--batch-size", 32
)  # fmt: skip
FILES = ("algorithm.json", "model-0000.params", "model-symbol.json")


@pytest.fixture(scope="module")
def alone(flats: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    return metrics(Algoshelf(tmp_path_factory.mktemp("alone")), flats)


def metrics(algoshelf: Algoshelf, table: Path, *options: object) -> dict[str, float]:
    command = ("train", "tabular", "--train", table, *SETTINGS, *options, "--output", "m")
    result = algoshelf(*command)
    assert result.code == 0, result.stderr
    return dict(Artifact.open(algoshelf.folder / "m").metadata.metrics)


@pytest.mark.parametrize("how", [("--devices", "cpu:2"), ("--devices", "cpu:4"), ("--hosts", 2)])
def test_devices_and_hosts_learn_the_same(
    flats: Path, alone: dict[str, float], algoshelf: Algoshelf, how: tuple[object, ...]
) -> None:
    assert metrics(algoshelf, flats, *how) == pytest.approx(alone, abs=1e-4)


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


def test_killed_it_ends_with_the_same_bytes(flats: Path, algoshelf: Algoshelf) -> None:
    command = ("train", "tabular", "--train", flats, *SETTINGS, "--epochs", 40)
    kept = ("--checkpoints", "c", "--checkpoint-every", "0.05s", "--output", "m")
    assert algoshelf(*command, "--output", "whole").code == 0
    process = algoshelf.start(*command, *kept)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch=3 "):
            break
    process.kill()
    process.stderr.close()
    process.wait()
    assert not (algoshelf.folder / "m").exists()
    done = algoshelf(*command, *kept)
    assert "resuming after step" in done.stderr
    for name in FILES:
        whole = (algoshelf.folder / "whole" / name).read_bytes()
        assert (algoshelf.folder / "m" / name).read_bytes() == whole
