"""``core.runtime.rights``: /opt/ml is root's, and the process that works there is not."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as SageMaker's containers")
USER = "nobody"
CODE = """
import json, os, sys
from pathlib import Path
from algoshelf.core.runtime.rights import give_up_root
ml = Path(sys.argv[1])
kept = give_up_root(sys.argv[2], [ml / "input"], [ml / "model", ml / "checkpoints"])
def attempt(path):
    try:
        path.write_text("x")
    except OSError as error:
        return type(error).__name__
    return "written"
print(json.dumps({
    "kept": kept, "user": os.getuid(), "groups": os.getgroups(),
    "model": attempt(ml / "model" / "a"), "old": attempt(ml / "model" / "deep" / "old"),
    "checkpoints": attempt(ml / "checkpoints" / "b"), "input": attempt(ml / "input" / "c"),
}))
"""


@pytest.fixture
def ml(tmp_path: Path) -> Path:
    """A folder as SageMaker lays it out, which everybody may enter."""
    base = tmp_path / "ml"
    for name in ("input/data", "model/deep"):
        (base / name).mkdir(parents=True)
    (base / "input" / "data" / "train.csv").write_text("1,2\n")
    (base / "model" / "deep" / "old").write_text("")
    (base / "model" / "link").symlink_to(base / "input" / "data" / "train.csv")
    for folder in (base, *base.parents):
        if folder.stat().st_uid == 0 and folder not in (Path("/"), Path("/tmp")):
            folder.chmod(0o755)
    return base


def run(ml: Path, user: str = USER) -> dict[str, object]:
    command = [sys.executable, "-c", CODE, str(ml), user]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_the_user_writes_where_the_job_answers_and_nowhere_else(ml: Path) -> None:
    found = run(ml)
    assert found["kept"] == ""
    assert found["user"] == pwd.getpwnam(USER).pw_uid
    assert found["groups"] == []
    assert [found[name] for name in ("model", "old", "checkpoints")] == ["written"] * 3
    assert found["input"] == "PermissionError"
    assert (ml / "input" / "data" / "train.csv").stat().st_uid == 0  # a link led there


def test_what_only_root_may_read_is_read_as_root(ml: Path) -> None:
    (ml / "input" / "data" / "train.csv").chmod(0o600)
    found = run(ml)
    assert found["kept"] == f"{USER} may not read {ml / 'input'}"
    assert (found["user"], found["input"]) == (0, "written")


def test_without_the_user_root_goes_on(ml: Path) -> None:
    assert run(ml, "no-such-user")["kept"] == "there is no user no-such-user"
