"""Stages: what dies in the middle leaves nothing that stands in the way, and touches nobody's."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import numpy as np
import pytest
from algoshelf.core import Reporter, mx
from algoshelf.core.artifact.target import staged
from algoshelf.core.runtime import staging
from algoshelf.core.training.checkpoints import Checkpoint, Checkpoints

from tests.conftest import ROOT

NAMES = ("algorithm.json", "model-0000.params", "model-symbol.json")
# Each does its part, says so, and goes on when it is told to.
MODEL = """
import os, sys
from pathlib import Path
from algoshelf.core.artifact.target import staged
with staged(Path(sys.argv[1])) as stage:
    for name in ("algorithm.json", "model-0000.params", "model-symbol.json"):
        (stage / name).write_text(sys.argv[2])
    print(os.getpid(), flush=True)
    sys.stdin.readline()
"""
CHECKPOINT = """
import os, sys
from pathlib import Path
from algoshelf.core import mx
from algoshelf.core.training.checkpoints import Checkpoint, Checkpoints
class Slow(dict):
    def items(self):
        print(os.getpid(), flush=True)
        sys.stdin.readline()
        return super().items()
kept = Checkpoints(Path(sys.argv[1]))
kept.prepare()
kept.save(Checkpoint(9, {}, {}, Slow(network={"w": mx.nd.ones(3)})))
"""


class Maker:
    """A process that makes something, as number 1 of a container of its own."""

    def __init__(self, program: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", program,
             *map(str, arguments)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            pytest.skip(f"a pid namespace needs root: {self.process.communicate()[1]}")
        assert line == "1\n"

    def finish(self) -> None:
        _, said = self.process.communicate("on\n", timeout=60)
        assert self.process.returncode == 0, said

    def kill(self) -> None:
        """As the kernel ends a container: at once, and all of it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def makers() -> Iterator[list[Maker]]:
    started: list[Maker] = []
    yield started
    for maker in started:
        if maker.process.poll() is None:
            maker.kill()


def holds(folder: Path, text: str) -> bool:
    assert sorted(path.name for path in folder.iterdir()) == list(NAMES)
    return all((folder / name).read_text() == text for name in NAMES)


def fill(stage: Path, text: str) -> None:
    for name in NAMES:
        (stage / name).write_text(text)


def test_after_a_kill_the_next_container_with_the_same_process_id_begins_anew(
    tmp_path: Path, makers: list[Maker]
) -> None:
    makers.append(Maker(MODEL, tmp_path / "m", "killed"))
    makers[0].kill()
    makers.append(Maker(MODEL, tmp_path / "m", "next"))
    makers[1].finish()
    assert holds(tmp_path / "m", "next")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_two_containers_on_one_volume_leave_each_other_alone(
    tmp_path: Path, makers: list[Maker]
) -> None:
    makers += [Maker(MODEL, tmp_path / "m", text) for text in ("first", "second")]
    makers[1].finish()
    assert holds(tmp_path / "m", "second")
    makers[0].finish()
    assert holds(tmp_path / "m", "first")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_checkpoint_that_was_being_written_does_not_stand_in_the_way(
    tmp_path: Path, makers: list[Maker]
) -> None:
    makers.append(Maker(CHECKPOINT, tmp_path / "c"))
    makers[0].kill()
    makers.append(Maker(CHECKPOINT, tmp_path / "c"))
    makers[1].finish()
    left = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert left == [".lock", "step-000000009"]


def test_a_checkpoint_replaces_the_one_of_the_same_step(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    for value in (1, 2):
        arrays = {"network": {"w": mx.nd.array([value])}}
        kept.save(Checkpoint(9, {}, {"value": value}, arrays))
    found = kept.latest({}, Reporter())
    assert found is not None
    assert found.position == {"value": 2}
    np.testing.assert_array_equal(found.arrays["network"]["w"].asnumpy(), [2])
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000009"]


def test_names_are_no_patterns(tmp_path: Path) -> None:
    """``m[1]`` as a pattern means m1, whose stages are another's."""
    for name in ("m[1]", "m1"):
        (tmp_path / f".{name}.stage-0123456789abcdef").mkdir()
    with staged(tmp_path / "m[1]") as stage:
        fill(stage, "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".m1.stage-0123456789abcdef", "m[1]",
    ]  # fmt: skip


def test_what_was_put_into_the_model_folder_during_the_training_stays(tmp_path: Path) -> None:
    with staged(tmp_path / "m") as stage:
        fill(stage, "old")
    with staged(tmp_path / "m") as stage:
        (tmp_path / "m" / "thesis.tex").write_text("years of work")
        fill(stage, "new")
    assert (tmp_path / "m" / "thesis.tex").read_text() == "years of work"
    assert all((tmp_path / "m" / name).read_text() == "new" for name in NAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_file_that_only_looks_like_a_stage_is_somebodys(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "notes.stage-1.txt").write_text("years of work")
    with pytest.raises(Exception, match=r"contains other files than a model"), staged(
        tmp_path / "m"
    ):
        pass
    assert (tmp_path / "m" / "notes.stage-1.txt").exists()


def test_a_process_that_leaves_at_once_leaves_no_stage(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from algoshelf.core.runtime.staging import leave, stage
with stage(Path(sys.argv[1]), "m") as made:
    (made / "file").write_text("half")
    leave(7)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=False)
    assert done.returncode == 7
    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_lives_is_not_swept(tmp_path: Path) -> None:
    with staging.stage(tmp_path, "m") as one, staging.stage(tmp_path, "m") as other:
        staging.sweep(tmp_path)
        assert one.is_dir()
        assert other.is_dir()
        assert one != other
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    staging.write_whole(path, b"old")
    staging.write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        staging.write_whole(tmp_path / "folder", b"in the way")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder", "results.jsonl"]


def test_a_digest_is_that_of_all_blocks(tmp_path: Path) -> None:
    content = bytes(range(256)) * (2 * staging.BLOCK_BYTES // 256) + b"and more"
    (tmp_path / "large").write_bytes(content)
    assert staging.digest_of(tmp_path / "large") == hashlib.sha256(content).hexdigest()
