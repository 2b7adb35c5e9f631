"""Several hosts over MXNet's real parameter server: real processes, really killed."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import numpy as np
import pytest
from algoshelf.core import mx

from tests.conftest import ROOT, Algoshelf, InProcess, free_port
from tests.registry.conftest import install

REPEATS = int(os.environ.get("ALGOSHELF_REPEATS", "1"))
PLUGIN = (ROOT / "tests" / "registry" / "acme-tabular" / "acme_tabular.py").read_text()
PROGRAM = str(Path(sys.executable).parent / "algoshelf")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "rows.csv", 600)


def write_rows(path: Path, count: int) -> Path:
    rng = np.random.default_rng(7)
    labels = np.arange(count) % 3
    table = np.concatenate([labels[:, None], rng.normal(size=(count, 4)) + labels[:, None]], axis=1)
    np.savetxt(path, table, delimiter=",", fmt="%.6f")
    return path


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With a plugin whose network has neither dropout nor batch normalization."""
    (tmp_path / "site").mkdir()
    install(tmp_path / "site", "acme-tabular", PLUGIN)
    return {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}


def command(rows: Path, *more: object) -> list[str]:
    settings = ["--optimizer", "sgd", "--learning-rate", "0.05", "--batch-size", "36"]
    return [PROGRAM, "train", "acme-tabular", "--train", str(rows), *settings, *map(str, more)]


def run(
    folder: Path, environment: dict[str, str], rows: Path, *more: object
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(rows, *more), cwd=folder, env=environment, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip


def parameters(folder: Path) -> np.ndarray:
    saved = mx.nd.load(str(folder / "model-0000.params"))
    return np.concatenate([saved[name].asnumpy().ravel() for name in sorted(saved)])


def left_over(folder: Path) -> list[str]:
    """Command lines of processes that belong to a job of several hosts of the test in ``folder``,
    whose plugin all of them have on their path.
    """
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = path.read_bytes()
            if b"DMLC_ROLE=" in variables and f"{folder / 'site'}\0".encode() in variables:
                found.append((path.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    deadline = time.monotonic() + 5
    while left_over(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_over(tmp_path) == []


def test_two_hosts_learn_what_one_learns(
    tmp_path: Path, environment: dict[str, str], rows: Path
) -> None:
    """60 steps: 540 examples to train on, 36 a batch, 15 steps an epoch. Two hosts speak with one
    voice.
    """
    for name, more in (
        ("one", ()),
        ("two", ("--hosts", 2, "--json")),
        ("four", ("--hosts", 2, "--devices", "cpu:2")),
    ):
        done = run(tmp_path, environment, rows, "--epochs", 4, "--output", name, *more)
        assert done.returncode == 0, done.stderr
        if name == "two":
            assert done.stdout.startswith("{")
            assert done.stdout.count('"model"') == 1
            assert done.stderr.count("epoch=1 ") == 1
            assert "KVStore dist_sync" in done.stderr
        names = {path.name for path in (tmp_path / name).iterdir()}
        assert names == {"algorithm.json", "model-0000.params", "model-symbol.json"}
    one = parameters(tmp_path / "one")
    for name in ("two", "four"):
        other = parameters(tmp_path / name)
        assert np.linalg.norm(one - other) / np.linalg.norm(one) <= 1e-4


def test_a_fault_of_every_host_is_told_with_its_exit_code(
    tmp_path: Path, environment: dict[str, str], rows: Path
) -> None:
    rows.write_text("0,1,2\n")
    done = run(tmp_path, environment, rows, "--hosts", 2)
    assert done.returncode == 2
    assert "rows.csv: line 1" in done.stderr
    assert "worker 0 ended with exit code 2" in done.stderr
    assert not (tmp_path / "models").exists()


def test_what_cannot_be_split_over_hosts_is_refused(
    tmp_path: Path, environment: dict[str, str], rows: Path
) -> None:
    done = run(tmp_path, environment, rows, "--hosts", 2, "--batch-size", 35)
    assert done.returncode == 2
    assert "over 2 devices: give --batch-size 34 or 36" in done.stderr
    done = run(tmp_path, environment, rows, "--hosts", 2, "--kvstore", "local")
    assert done.returncode == 2
    assert "expected auto, dist_sync, dist_device_sync" in done.stderr
    done = run(tmp_path, environment, rows, "--hosts", "zero")
    assert "--hosts: expected a whole number from 1 to 99, got 'zero'" in done.stderr


@pytest.mark.apart
def test_compressed_gradients_leave_what_hosts_tell_one_another_whole(
    tmp_path: Path, environment: dict[str, str], rows: Path
) -> None:
    """Each number of a gradient is sent as -T, 0 or T, and every figure of the hosts whole."""
    compressed = ("--gradient-compression", 2)
    found = {}
    for name, more in (
        ("hosts", ("--hosts", 2, "--patience", 30, *compressed)),
        ("devices", ("--devices", "cpu:2", *compressed)),
        ("whole", ("--devices", "cpu:2")),
    ):
        done = run(tmp_path, environment, rows, "--epochs", 20, "--json", "--output", name, *more)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["metrics"]["validation:accuracy"] > 0.5  # of three classes
        found[name] = parameters(tmp_path / name)
    size = np.linalg.norm(found["whole"])
    assert np.linalg.norm(found["hosts"] - found["devices"]) / size <= 1e-4
    assert np.linalg.norm(found["hosts"] - found["whole"]) / size > 1e-3


def test_compression_is_refused_where_it_cannot_be(in_process: InProcess, few: Path) -> None:
    for more, reason in (
        ((0,), "--gradient-compression: expected a number above 0, got '0'"),
        ((2,), "here it is none, since one device sends nothing"),
        ((2, "--devices", "cpu:2", "--kvstore", "local"), "here it is local"),
        ((2, "--devices", "cpu:2", "--checkpoints", "c"), "give no --checkpoints"),
    ):
        data = ("--train", few)
        done = in_process("train", "mnist-cnn", *data, "--gradient-compression", *more)
        assert done.code == 2
        assert reason in done.stderr


class Job:
    """``--hosts 2`` under way, and its processes by their roles."""

    def __init__(
        self, folder: Path, environment: dict[str, str], rows: Path, *more: object
    ) -> None:
        self.process = subprocess.Popen(
            command(rows, "--hosts", 2, "--epochs", 1000, "--output", "m", *more),
            cwd=folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip
        self.seen = ""

    def until(self, text: str) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.seen += line
            if text in line:
                return
        pytest.fail(self.seen)

    def roles(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {"scheduler": [], "server": [], "worker": []}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                role = re.search(rb"DMLC_ROLE=(\w+)", (path / "environ").read_bytes())
                status = (path / "status").read_text()
            except OSError:
                continue
            if role and f"PPid:\t{self.process.pid}\n" in status:
                found[role[1].decode()].append(int(path.name))
        return found

    def end(self) -> int:
        assert self.process.stderr is not None
        self.seen += self.process.stderr.read()
        self.process.stderr.close()
        return self.process.wait(60)


@pytest.mark.parametrize("role", ["worker", "server", "scheduler"])
@pytest.mark.parametrize("moment", ["start", "middle"])
def test_a_process_that_dies_ends_the_job_with_the_reason(
    tmp_path: Path, environment: dict[str, str], rows: Path, role: str, moment: str
) -> None:
    moments = random.Random(role + moment)
    for _ in range(REPEATS):
        job = Job(tmp_path, environment, rows)
        if moment == "start":
            while len(job.roles()[role]) == 0:
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 1))
        else:
            job.until("epoch=1 ")
            time.sleep(moments.uniform(0, 1))
        os.kill(moments.choice(sorted(job.roles()[role])), signal.SIGKILL)
        killed = time.monotonic()
        assert job.end() == 1
        assert time.monotonic() - killed < 60
        assert re.search(rf"{role}( \d)? was ended by signal 9: the job ends", job.seen), job.seen
        assert not (tmp_path / "m").exists()
        assert not list(tmp_path.glob(".m*"))


def test_the_one_who_looks_on_takes_all_with_it(
    tmp_path: Path, environment: dict[str, str], rows: Path
) -> None:
    job = Job(tmp_path, environment, rows)
    job.until("epoch=1 ")
    job.process.kill()
    job.end()
    time.sleep(0.5)
    assert left_over(tmp_path) == []


def test_a_signal_stops_all_hosts_at_one_step_and_they_resume_to_the_same_bytes(
    tmp_path: Path, environment: dict[str, str], rows: Path
) -> None:
    kept = ("--hosts", 2, "--epochs", 40, "--output", "m")
    assert run(tmp_path, environment, rows, *kept).returncode == 0
    expected = (tmp_path / "m" / "model-0000.params").read_bytes()
    shutil.rmtree(tmp_path / "m")
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = subprocess.Popen(
            command(rows, *kept, "--checkpoints", "c"), cwd=tmp_path, env=environment,
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch="):
                process.send_signal(number)
                break
        rest = process.stderr.read()
        process.stderr.close()
        assert process.wait(60) == code, rest
        assert f"stopped by {number.name}" in rest
    done = run(tmp_path, environment, rows, *kept, "--checkpoints", "c")
    assert done.returncode == 0, done.stderr
    assert "resuming after step" in done.stderr
    assert (tmp_path / "m" / "model-0000.params").read_bytes() == expected


def start_roles(
    folder: Path, environment: dict[str, str], commands: list[list[str]]
) -> list[subprocess.Popen[str]]:
    """As AWS's toolkit does it: the roles are in the environment, and nobody looks on."""
    shared = {
        **environment,
        "DMLC_PS_ROOT_URI": "127.0.0.1",
        "DMLC_NODE_HOST": "127.0.0.1",
        "DMLC_PS_ROOT_PORT": str(free_port()),
        # the one after the scheduler's may be in use where ports are drawn at random
        "ALGOSHELF_PEERS_PORT": str(free_port()),
        "DMLC_NUM_WORKER": str(len(commands)),
        "DMLC_NUM_SERVER": "1",
    }
    serve = [sys.executable, "-c", "import numpy; numpy.bool = numpy.bool_; import mxnet"]
    roles = [("scheduler", serve), ("server", serve), *(("worker", c) for c in commands)]
    return [
        subprocess.Popen(
            each,
            cwd=folder,
            env={**shared, "DMLC_ROLE": role},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for role, each in roles
    ]


def test_hosts_with_different_numbers_of_examples_end(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    commands = [
        command(
            write_rows(tmp_path / f"{count}.csv", count), "--epochs", 3, "--output", f"m{count}"
        )
        for count in (101, 100)
    ]
    processes = start_roles(tmp_path, environment, commands)
    logs = [process.communicate(timeout=100)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0], logs
    models = list(tmp_path.glob("m1*"))
    assert len(models) == 1  # one host saves


def test_a_host_whose_peer_dies_ends_itself_with_the_reason(
    tmp_path: Path, environment: dict[str, str], rows: Path
) -> None:
    more = ("--epochs", 1000, "--metrics", tmp_path / "metrics")
    commands = [command(rows, *more, "--output", f"m{i}") for i in range(2)]
    processes = start_roles(tmp_path, environment, commands)
    try:
        while not (tmp_path / "metrics").exists():  # of whichever is the chief
            assert processes[3].poll() is None
            time.sleep(0.05)
        processes[3].kill()
        _, log = processes[2].communicate(timeout=60)
        assert processes[2].returncode == 1
        assert re.search(rf"\(process {processes[3].pid}\) has died", log)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_host_whose_peers_never_come_ends_itself(
    tmp_path: Path, environment: dict[str, str], rows: Path
) -> None:
    lonely = {
        **environment, "DMLC_ROLE": "worker", "DMLC_NUM_WORKER": "2", "DMLC_NUM_SERVER": "1",
        "DMLC_PS_ROOT_URI": "127.0.0.1", "DMLC_PS_ROOT_PORT": str(free_port()),
        "DMLC_NODE_HOST": "127.0.0.1",
    }  # fmt: skip
    done = run(tmp_path, lonely, rows, "--peer-timeout", "3s")
    assert done.returncode == 1
    assert "while waiting for the other hosts to begin" in done.stderr


def test_hosts_are_one_of_the_flags(algoshelf: Algoshelf) -> None:
    assert "--hosts N" in algoshelf("train", "mnist-cnn", "--help").text


def container(folder: Path, current: str, names: list[str]) -> Path:
    """The /opt/ml of one host of a SageMaker job, as far as it says who is who."""
    config = folder / "input" / "config"
    config.mkdir(parents=True)
    content = {"current_host": current, "hosts": names, "network_interface_name": "lo"}
    (config / "resourceconfig.json").write_text(json.dumps(content))
    return folder


# Two names of this machine: to a job they are two hosts.
NAMES = ["localhost", "127.0.0.1"]


def start_containers(
    folder: Path, environment: dict[str, str], rows: Path, *more: object
) -> dict[str, subprocess.Popen[str]]:
    names = ("ALGOSHELF_SCHEDULER_PORT", "ALGOSHELF_PEERS_PORT")
    port = {name: str(free_port()) for name in names}
    started = {}
    for name in NAMES:
        base = container(folder / name, name, NAMES)
        started[name] = subprocess.Popen(
            command(rows, "--output", base / "model", *more),
            cwd=folder,
            env={**environment, **port, "SAGEMAKER_BASE_DIR": str(base)},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
    return started


def test_the_hosts_of_a_sagemaker_job_find_one_another(
    tmp_path: Path, environment: dict[str, str], rows: Path
) -> None:
    one = run(tmp_path, environment, rows, "--epochs", 2, "--output", "one")
    assert one.returncode == 0, one.stderr
    started = start_containers(tmp_path, environment, rows, "--epochs", 2)
    logs = {name: process.communicate(timeout=100)[1] for name, process in started.items()}
    assert [process.returncode for process in started.values()] == [0, 0], logs
    saved = [path for name in NAMES for path in (tmp_path / name).glob("model")]
    assert len(saved) == 1
    expected, found = parameters(tmp_path / "one"), parameters(saved[0])
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) <= 1e-4
    assert not list(tmp_path.glob("*/output/failure"))


def test_a_host_of_a_sagemaker_job_that_dies_ends_the_others_with_the_reason(
    tmp_path: Path, environment: dict[str, str], rows: Path
) -> None:
    started = start_containers(
        tmp_path, environment, rows, "--epochs", 1000, "--metrics", tmp_path / "metrics"
    )  # fmt: skip
    while not (tmp_path / "metrics").exists():  # of whichever is the chief
        time.sleep(0.05)
    survivor = started["127.0.0.1"]  # which runs the scheduler
    started["localhost"].kill()
    log = survivor.communicate(timeout=60)[1]
    started["localhost"].communicate()
    assert survivor.returncode == 1, log
    reason = (tmp_path / "127.0.0.1" / "output" / "failure").read_text()
    assert reason.startswith("localhost has died")


def test_the_failure_file_of_a_sagemaker_job_names_the_cause(
    tmp_path: Path, environment: dict[str, str], rows: Path
) -> None:
    base = container(tmp_path / "ml", "algo-1", ["algo-1"])
    rows.write_text("0,1,2\n")
    done = run(tmp_path, {**environment, "SAGEMAKER_BASE_DIR": str(base)}, rows)
    assert done.returncode == 2
    reason = (base / "output" / "failure").read_text()
    assert reason.startswith(f"{rows}: line 1")
    assert f"error: {reason}" in done.stderr
    config = base / "input" / "config" / "resourceconfig.json"
    config.write_text('{"current_host": "algo-3", "hosts": ["algo-1"]}')
    done = run(tmp_path, {**environment, "SAGEMAKER_BASE_DIR": str(base)}, rows)
    assert done.returncode == 2
    assert "current_host 'algo-3' is none of" in done.stderr
    assert (base / "output" / "failure").read_text() == reason  # the first one stays
