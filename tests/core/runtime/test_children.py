"""Orders to child processes: what they answer, and what becomes of those that do not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from algoshelf.core import Algorithm, PluginError
from algoshelf.core.runtime import children

START = "from algoshelf.core.runtime.children import ordered; order, answer = ordered(); "


def ask(code: str, **options: object) -> children.Done:
    return children.ask(["-c", START + code], {"word": "großer"}, **options)  # type: ignore[arg-type]


def test_a_child_answers_its_order() -> None:
    assert ask("answer({'heard': order['word'] + '!'})") == (0, {"heard": "großer!"}, "")


def test_what_a_child_prints_is_no_answer() -> None:
    code = "import os; print('1'); os.system('echo 2'); answer(3); print('4')"
    done = ask(code, keep=True)
    assert done.answer == 3
    assert sorted(done.said.split()) == ["1", "2", "4"]


def test_a_child_that_dies_has_answered_nothing() -> None:
    done = ask("import os; os.kill(os.getpid(), 9)")
    assert (done.code, done.answer) == (-signal.SIGKILL, None)


def test_half_an_answer_is_none() -> None:
    assert children.ask(["-c", "print('[1, 2', end='')"], {}) == (0, None, "")


def test_what_a_child_leaves_behind_is_not_waited_for() -> None:
    """A fork has all that is open in the child, as the workers of a DataLoader do."""
    code = "import os, time\nif os.fork() == 0: time.sleep(600)\nanswer(os.getpid()); os._exit(0)"
    done = children.ask(["-c", START.replace("; order", "\norder").rstrip("; ") + "\n" + code], {})
    assert done.answer > 0
    os.killpg(done.answer, signal.SIGKILL)  # the group is the child's own


def test_a_child_that_takes_too_long_is_gone(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        children.ask(["-c", f"import time; time.sleep(600) # {tmp_path}"], {}, timeout=0.5)
    running = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, check=True).stdout
    assert os.fsencode(tmp_path) not in running


def test_a_child_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    code = (
        "import os, sys; from algoshelf.core.runtime import children; "
        "child = children.start(['sleep', '600']); print(child.pid, flush=True); os._exit(0)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env={**os.environ}
    ).stdout
    deadline = time.monotonic() + 60
    while _lives(Path("/proc", out.decode().strip(), "stat")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _lives(file: Path) -> bool:
    """Whether the process of this file in /proc does; nobody may have asked for its end yet."""
    try:
        return (file.parent / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_class_is_found_by_its_name() -> None:
    assert children.named(children.name_of(Algorithm)) is Algorithm
    assert children.named(children.name_of(children.Done)) is children.Done


def test_a_class_that_no_other_process_can_import_is_refused() -> None:
    class Inner:
        pass

    with pytest.raises(PluginError, match="define the class at the top of a module"):
        children.name_of(Inner)
