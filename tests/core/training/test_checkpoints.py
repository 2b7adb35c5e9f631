"""An interrupted run goes on where it stood, and ends as the uninterrupted one: bit by bit."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import InProcess, Result

# Dropout and augmentation are on, so that every kind of random number is exercised.
SETTINGS = ("--dropout", "0.3", "--batch-size", "100", "--epochs", "3", "--output", "m")
KILLS = int(os.environ.get("ALGOSHELF_KILLS", "6"))  # make endurance: 20


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,000 digits that are no digits, 9 steps an epoch: noise trains and compares as well."""
    path = tmp_path_factory.mktemp("small") / "noise.npz"
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1000, 28, 28), np.uint8)
    np.savez(path, x=images, y=rng.integers(0, 10, 1000))
    return path


def command(data: Path, *more: str) -> list[str]:
    program = str(Path(sys.executable).parent / "algoshelf")
    return [program, "train", "mnist-cnn", "--train", str(data), *SETTINGS, *more]


def run(folder: Path, data: Path, *more: str) -> Result:
    """In this process; what is to be interrupted runs in one of its own, by ``command``."""
    return InProcess(folder)("train", "mnist-cnn", "--train", data, *SETTINGS, *more)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "m").iterdir()}


@pytest.fixture(scope="session")
def uninterrupted(small: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    subprocess.run(command(small), cwd=folder, capture_output=True, check=True)
    return files(folder)


def test_keeping_checkpoints_changes_nothing(
    small: Path, tmp_path: Path, uninterrupted: dict[str, bytes]
) -> None:
    done = run(tmp_path, small, "--checkpoints", "c", "--checkpoint-every", "0.1s")
    assert done.code == 0, done.stderr
    assert files(tmp_path) == uninterrupted


def test_a_run_goes_on_with_the_threads_that_it_began_with(tmp_path: Path) -> None:
    """However many processors others leave free by then."""
    program = str(Path(sys.executable).parent / "algoshelf")
    begun = [program, "train", "kmeans", "--k", "3", "--output", "m"]
    begun += ["--checkpoints", "c", "--checkpoint-every", "0.001s"]
    plain = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    models = []
    for more in (["--threads", "1"], []):
        done = subprocess.run(
            [*begun, *more], cwd=tmp_path, env=plain, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "1 thread an operator" in done.stderr
        models.append(files(tmp_path))
    assert "resuming after step" in done.stderr
    assert models[0] == models[1]
    assert json.loads(models[0]["algorithm.json"])["threads"] == 1


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_races_with_nothing(small: Path, tmp_path: Path, optimizer: str) -> None:
    """The threaded engine gives what the sequential one does (docs/decisions/0006)."""
    models = []
    for engine in ("ThreadedEnginePerDevice", "NaiveEngine"):
        subprocess.run(
            command(small, "--optimizer", optimizer, "--epochs", "2"),
            cwd=tmp_path,
            env={**os.environ, "MXNET_ENGINE_TYPE": engine},
            capture_output=True,
            check=True,
        )
        models.append(files(tmp_path)["model-0000.params"])
    assert models[0] == models[1]


def test_lookahead_goes_on_from_its_averages_and_the_last_epoch_is_kept(
    small: Path, tmp_path: Path
) -> None:
    options = (
        *("--lookahead", "3", "--keep", "last", "--schedule", "linear"),
        *("--checkpoints", "c", "--checkpoint-every", "0.01s"),
    )
    whole = run(tmp_path, small, *options)
    assert whole.code == 0, whole.stderr
    assert "the model is that of epoch 3 of 3, the last" in whole.stderr
    expected = files(tmp_path)
    shutil.rmtree(tmp_path / "c" / max(checkpoints(tmp_path / "c")))
    done = run(tmp_path, small, *options)
    assert "resuming after step" in done.stderr
    assert files(tmp_path) == expected


def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    small: Path, tmp_path: Path, uninterrupted: dict[str, bytes]
) -> None:
    moments = random.Random(4)
    kept = ("--checkpoints", "c", "--checkpoint-every", "0.05s")
    killed, resumed = 0, 0
    while killed < KILLS:
        process = subprocess.Popen(
            command(small, *kept), cwd=tmp_path, stderr=subprocess.PIPE, text=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stderr is not None
        seen = ""
        for line in process.stderr:
            seen += line
            if "held out" in line:  # training begins; before, there is nothing to lose
                break
        before = checkpoints(tmp_path / "c")
        while process.poll() is None and checkpoints(tmp_path / "c") == before:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.5))
        if process.poll() is not None:  # done before its time: begin anew
            assert process.returncode == 0, seen + process.stderr.read()
            assert files(tmp_path) == uninterrupted
            shutil.rmtree(tmp_path / "c")
            process.stderr.close()
            continue
        process.kill()
        seen += process.stderr.read()
        process.stderr.close()
        process.wait()
        resumed += "resuming after step" in seen
        killed += 1
    done = run(tmp_path, small, *kept)
    assert done.code == 0, done.stderr
    assert files(tmp_path) == uninterrupted
    assert resumed > KILLS // 4
    assert not list((tmp_path / "c").glob(".step-*"))
    assert len(checkpoints(tmp_path / "c")) == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_makes_a_checkpoint_first(
    small: Path,
    tmp_path: Path,
    uninterrupted: dict[str, bytes],
    number: signal.Signals,
    code: int,
) -> None:
    kept = ("--checkpoints", "c")
    process = subprocess.Popen(
        command(small, *kept), cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch=1"):
            break
    sent = time.monotonic()
    process.send_signal(number)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == code
    assert time.monotonic() - sent < 30
    assert "the same command resumes from" in rest
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    done = run(tmp_path, small, *kept)
    assert done.code == 0, done.stderr
    assert "resuming after step" in done.stderr
    assert files(tmp_path) == uninterrupted


@pytest.fixture(scope="session")
def finished(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints of a whole run."""
    folder = tmp_path_factory.mktemp("finished")
    done = run(folder, small, "--checkpoints", "c")
    assert done.code == 0, done.stderr
    return folder / "c"


@pytest.fixture
def kept(finished: Path, tmp_path: Path) -> Path:
    """A copy of them, without the model."""
    return Path(shutil.copytree(finished, tmp_path / "c"))


def checkpoints(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("step-*")}


def newest(kept: Path) -> Path:
    return max(kept.iterdir())


def test_a_finished_run_gives_its_model_again_without_training(
    small: Path, tmp_path: Path, kept: Path, uninterrupted: dict[str, bytes]
) -> None:
    done = run(tmp_path, small, "--checkpoints", "c")
    assert "resuming after step 27" in done.stderr
    assert "epoch=" not in done.stderr
    assert files(tmp_path) == uninterrupted


@pytest.mark.parametrize("name", ["state.json", "network.params", "optimizer.params"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    small: Path,
    tmp_path: Path,
    kept: Path,
    uninterrupted: dict[str, bytes],
    name: str,
    damage: str,
) -> None:
    path = newest(kept) / name
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    done = run(tmp_path, small, "--checkpoints", "c")
    assert done.code == 0, done.stderr
    assert "step-000000027: damaged" in done.stderr
    assert "resuming after step 18" in done.stderr
    assert files(tmp_path) == uninterrupted


def test_a_checkpoint_of_another_run_is_refused_with_the_differences(
    small: Path, tmp_path: Path, kept: Path
) -> None:
    done = run(tmp_path, small, "--checkpoints", "c", "--epochs", "4", "--seed", "2")
    assert done.code == 2
    assert "belongs to another run" in done.stderr
    assert "hyperparameter epochs: 3 there, 4 here" in done.stderr
    assert "seed: 1 there, 2 here" in done.stderr
    assert "learning_rate" not in done.stderr
    assert not (tmp_path / "m").exists()


def test_a_checkpoint_of_other_code_is_refused(small: Path, tmp_path: Path, kept: Path) -> None:
    path = newest(kept) / "state.json"
    state = json.loads(path.read_text())
    state["identity"]["code"] = "0" * 64
    path.write_text(json.dumps(state))
    done = run(tmp_path, small, "--checkpoints", "c")
    assert done.code == 2
    assert "code: 000000000000… there" in done.stderr


def test_checkpoints_that_cannot_be_written_are_refused_before_training(
    small: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    result = run(tmp_path, small, "--checkpoints", "file/c")
    assert result.code == 2
    assert "file/c: cannot be written" in result.stderr
    assert "epoch=" not in result.stderr


def test_damaged_checkpoints_do_not_stand_in_the_way_of_new_ones(
    small: Path, tmp_path: Path, kept: Path, uninterrupted: dict[str, bytes]
) -> None:
    for folder in kept.glob("step-*"):
        (folder / "state.json").write_text("[]")
    process = subprocess.Popen(
        command(small, "--checkpoints", "c"), cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch=1 "):
            process.terminate()
            break
    process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 143
    done = run(tmp_path, small, "--checkpoints", "c")
    assert "resuming after step" in done.stderr
    assert files(tmp_path) == uninterrupted


def test_two_trainings_do_not_share_checkpoints(small: Path, tmp_path: Path) -> None:
    first = subprocess.Popen(
        command(small, "--checkpoints", "c", "--epochs", "1000"), cwd=tmp_path,
        stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert first.stderr is not None
    for line in first.stderr:
        if line.startswith("epoch=1 "):
            break
    second = run(tmp_path, small, "--checkpoints", "c")
    first.kill()
    first.stderr.close()
    first.wait()
    assert second.code == 2
    assert "another training keeps its checkpoints there" in second.stderr


def test_a_full_disk_ends_the_training_with_the_reason(small: Path, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(tmp_path / "c")]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root")
    try:
        done = run(tmp_path, small, "--checkpoints", "c")
        assert done.code == 2
        assert "c/step-000000009: cannot be written" in done.stderr
        assert [path.name for path in (tmp_path / "c").iterdir()] == [".lock"]
    finally:
        subprocess.run(["umount", str(tmp_path / "c")], check=True)


def test_max_runtime_ends_the_training_with_a_model(small: Path, tmp_path: Path) -> None:
    done = run(tmp_path, small, "--epochs", "1000", "--max-runtime", "2s")
    assert done.code == 0, done.stderr
    assert "stopping early: the time of --max-runtime is over" in done.stderr
    assert (tmp_path / "m" / "algorithm.json").is_file()


def test_a_target_that_is_reached_ends_the_training(small: Path, tmp_path: Path) -> None:
    done = run(tmp_path, small, "--target-metric", "0.0")
    assert done.code == 0, done.stderr
    assert "validation:accuracy has reached" in done.stderr
    assert done.stderr.count("\nepoch=") == 1


def test_patience_ends_a_training_that_does_not_improve(small: Path, tmp_path: Path) -> None:
    done = run(tmp_path, small, "--epochs", "50", "--patience", "1", "--learning-rate", "1e-9")
    assert done.code == 0, done.stderr
    assert "validation:accuracy has not improved for 1 epochs" in done.stderr
    assert done.stderr.count("\nepoch=") < 10
