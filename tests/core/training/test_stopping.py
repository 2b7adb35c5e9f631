"""Signals to a training: heard at once, nothing lost, and those that are ignored stay ignored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests.core.training import acme_judged
from tests.registry.conftest import install

STEPS = 10  # an epoch
END = 60  # far less than a validation that blocks


class Judged:
    """acme-judged on the command line, trained in processes of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "site").mkdir()
        self.module = folder / "site" / "acme_judged.py"
        install(folder / "site", "acme-judged", Path(acme_judged.__file__).read_text())
        self._started: list[subprocess.Popen[str]] = []

    def start(
        self, *more: str, ignoring: tuple[signal.Signals, ...] = (), **environment: str
    ) -> subprocess.Popen[str]:
        def ignore() -> None:
            for number in ignoring:
                signal.signal(number, signal.SIG_IGN)

        program = str(Path(sys.executable).parent / "algoshelf")
        settings = ("--batch-size", "9", "--epochs", "4", "--output", "m")
        process = subprocess.Popen(
            [program, "train", "acme-judged", "--train", ".", *settings, *more],
            cwd=self.folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
            preexec_fn=ignore, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(self.folder / "site"), "OMP_NUM_THREADS": "1",
                 **environment},
        )  # fmt: skip
        self._started.append(process)
        return process

    def run(self, *more: str) -> str:
        process = self.start(*more)
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        return said

    def model(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / "m").iterdir()}

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stderr is not None:
                process.stderr.close()


@pytest.fixture
def judged(tmp_path: Path) -> Iterator[Judged]:
    found = Judged(tmp_path)
    yield found
    found.close()


def heard(process: subprocess.Popen[str], begin: Callable[[str], bool]) -> str:
    """What the process says up to a line that does ``begin`` so."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if begin(line):
            return said
    raise AssertionError(said)


def validating(line: str) -> bool:
    return line == "validating\n"


@pytest.mark.parametrize(
    ("how", "number"),
    [
        ("python", signal.SIGTERM),
        ("native", signal.SIGHUP),
        pytest.param("python", signal.SIGHUP, marks=pytest.mark.apart),
        pytest.param("native", signal.SIGTERM, marks=pytest.mark.apart),
    ],
)
def test_a_signal_ends_a_long_validation_at_once_and_the_epoch_is_kept(
    judged: Judged, how: str, number: signal.Signals
) -> None:
    judged.run()
    whole = judged.model()
    block = {"ACME_JUDGED_BLOCK": how, "ACME_JUDGED_AT": "2"}
    process = judged.start("--checkpoints", "c", **block)
    heard(process, validating)
    process.send_signal(number)
    _, rest = process.communicate(timeout=END)
    assert process.returncode == 128 + number, rest
    where = f"in the validation after step {2 * STEPS}; the same command resumes from there"
    assert f"stopped by {number.name}" in rest
    assert where in rest
    assert "Traceback" not in rest
    assert stages(judged.folder) == []
    said = judged.run("--checkpoints", "c")
    assert f"resuming after step {2 * STEPS}" in said
    assert judged.model() == whole


def test_a_kill_amid_a_validation_loses_nothing_of_its_epoch(judged: Judged) -> None:
    judged.run()
    whole = judged.model()
    block = {"ACME_JUDGED_BLOCK": "python", "ACME_JUDGED_AT": "3"}
    process = judged.start("--checkpoints", "c", **block)
    heard(process, validating)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert f"resuming after step {3 * STEPS}" in judged.run("--checkpoints", "c")
    assert judged.model() == whole
    assert stages(judged.folder) == []


def test_a_process_that_is_ended_at_once_leaves_nothing_behind(judged: Judged) -> None:
    block = {"ACME_JUDGED_BLOCK": "native"}
    process = judged.start(**block)
    heard(process, validating)
    process.kill()
    process.wait()
    assert stages(judged.folder)  # so that what follows is known to tell
    process = judged.start("--checkpoints", "c", **block)
    heard(process, validating)
    assert len(stages(judged.folder)) == 1
    process.terminate()
    _, rest = process.communicate(timeout=END)
    assert process.returncode == 143, rest
    assert stages(judged.folder) == []


def stages(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_dir() and ".stage-" in path.name]


@pytest.mark.parametrize("kept", [(), ("--checkpoints", "c")])
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_is_ignored_from_the_start_stays_ignored(
    judged: Judged, number: signal.Signals, kept: tuple[str, ...]
) -> None:
    """SIGHUP under nohup, SIGINT in what a shell's script puts into the background."""
    process = judged.start(*kept, "--epochs", "8", ignoring=(number,))
    heard(process, lambda line: line.startswith("epoch=1 "))
    process.send_signal(number)
    _, rest = process.communicate(timeout=300)
    assert process.returncode == 0, rest
    assert "epoch=8 " in rest


def test_a_terminal_that_closes_ends_a_training_after_a_checkpoint(judged: Judged) -> None:
    judged.run()
    whole = judged.model()
    process = judged.start("--checkpoints", "c")
    heard(process, lambda line: line.startswith("epoch=1 "))
    process.send_signal(signal.SIGHUP)
    _, rest = process.communicate(timeout=END)
    assert process.returncode == 129, rest
    assert "stopped by SIGHUP" in rest
    assert "resuming after step" in judged.run("--checkpoints", "c")
    assert judged.model() == whole


def test_checkpoints_belong_to_the_code_that_made_them(judged: Judged) -> None:
    """Not to what its file holds by then: it is edited while it trains."""
    block = {"ACME_JUDGED_BLOCK": "python", "ACME_JUDGED_AT": "2"}
    process = judged.start("--checkpoints", "c", **block)
    heard(process, lambda line: line.startswith("epoch=1 "))
    source = judged.module.read_text()
    judged.module.write_text(source + "# another network\n")
    heard(process, validating)
    process.terminate()
    process.communicate(timeout=END)
    again: Any = judged.start("--checkpoints", "c")
    _, said = again.communicate(timeout=300)
    assert again.returncode == 2, said
    assert "belongs to another run" in said
    assert "code: " in said
    judged.module.write_text(source)
    assert "resuming after step" in judged.run("--checkpoints", "c")
