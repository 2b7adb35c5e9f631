"""Jobs on one host and on two, which reach only each other: what they learn, and how they fail."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Iterator, Mapping

import pytest

from tests.toolkits.conftest import (
    ACME,
    ACME_ROWS,
    KMEANS,
    MNIST,
    Case,
    Shelf,
    differences,
    request_of,
)
from tests.toolkits.containers import PATIENCE, Container, Host, network
from tests.toolkits.contract import failure, toolkit_job
from tests.toolkits.own import Builder

TOLERANCE = 1e-5
SECONDS = 30.0  # from the start of the script to the end of the container
STARTS = "Invoking script with the following command"  # AWS's toolkit, after it ran pip


@dataclass(frozen=True)
class Jobs:
    """How a job is started: in AWS's image, or in one's own."""

    request: pytest.FixtureRequest
    folder: Path
    toolkit: bool

    def start(
        self,
        case: Case,
        shelf: Shelf,
        channels: Mapping[str, Path],
        host: Host | None,
        hosts: list[Host],
    ) -> Container:
        """``host`` of ``hosts``, or the only one."""
        ml = self.ml(host)
        ml.parent.mkdir()
        if self.toolkit:
            source = shelf.packed(case.name, "script", "--offline")
            image = self.request.getfixturevalue("image")
            values = case.hyperparameters
            return toolkit_job(ml, image, source, channels, values, host=host, hosts=hosts)
        builder: Builder = self.request.getfixturevalue("builder")
        own = builder.build(shelf.packed(case.name, "container"))
        return own.job(ml, channels, case.hyperparameters, host=host, hosts=hosts)

    def ml(self, host: Host | None) -> Path:
        return self.folder / (host.name if host else "algo-1") / "ml"

    def wait_for_script(self, job: Container) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.toolkit and STARTS not in job.log and job.process.poll() is None:
            assert time.monotonic() < deadline, job.log
            time.sleep(0.1)


@pytest.fixture(params=["toolkit", "own"])
def jobs(request: pytest.FixtureRequest, able: None, long: None, tmp_path: Path) -> Jobs:
    return Jobs(request, tmp_path, request.param == "toolkit")


@pytest.fixture(scope="session")
def raising(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """A third-party plugin that raises what is no error of algoshelf's."""
    line = "        nn = mx.gluon.nn\n"
    return Shelf(
        tmp_path_factory.mktemp("raising"),
        lambda source: source.replace(line, '        raise RuntimeError("out of phase")\n'),
    )


@contextmanager
def hosts_of(count: int) -> Iterator[list[Host]]:
    """The hosts of a job: none where it is the only one."""
    if count == 1:
        yield []
    else:
        with network() as hosts:
            yield hosts


@pytest.mark.parametrize("case", [MNIST, KMEANS], ids=str)
def test_two_hosts_learn_what_two_learn_here(
    case: Case, jobs: Jobs, shelf: Shelf, tmp_path: Path
) -> None:
    channels = case.channels(tmp_path)
    with network() as hosts, ExitStack() as stack:
        started = [
            stack.enter_context(jobs.start(case, shelf, channels, host, hosts)) for host in hosts
        ]
        for job in started:
            assert job.wait() == 0, "\n\n".join(each.log for each in started)
        models = [jobs.ml(host) / "model" for host in hosts]
    made = [model for model in models if (model / "algorithm.json").exists()]
    assert len(made) == 1  # one host saves
    here = shelf.train(case, channels, tmp_path, "--hosts", "2")
    found, expected = (
        shelf.answer(model, request_of(case), case.content_type) for model in (made[0], here)
    )
    assert differences(found, expected) <= TOLERANCE


def wrong(case: Case, **values: Any) -> Case:
    return replace(case, hyperparameters={**case.hyperparameters, **values})


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("fault", ["hyperparameter", "data", "plugin"])
def test_a_failure_has_its_reason_on_every_host(
    fault: str, count: int, jobs: Jobs, shelf: Shelf, raising: Shelf, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(ACME_ROWS + ("7,0,0,0\n" if fault == "data" else ""))
    case = wrong(ACME, epochs="many") if fault == "hyperparameter" else ACME
    reason = {
        "hyperparameter": "epochs: expected a whole number",
        "data": "/opt/ml/input/data/train/rows.csv: line 301",
        "plugin": "RuntimeError: out of phase",
    }[fault]
    used = raising if fault == "plugin" else shelf
    with hosts_of(count) as hosts, ExitStack() as stack:
        everyone: list[Host | None] = [*hosts] or [None]
        started = [
            stack.enter_context(jobs.start(case, used, {"train": rows}, host, hosts))
            for host in everyone
        ]
        for job, host in zip(started, everyone):
            jobs.wait_for_script(job)
            assert job.wait(SECONDS) == 1, job.log
            assert failure(jobs.ml(host)).splitlines()[0].startswith(reason)


def test_a_host_whose_data_alone_is_bad_says_so(jobs: Jobs, shelf: Shelf, tmp_path: Path) -> None:
    """SageMaker then ends the other, which waits."""
    rows = {name: tmp_path / name / "rows.csv" for name in ("good", "bad")}
    for name, path in rows.items():
        path.parent.mkdir()
        path.write_text(ACME_ROWS + ("7,0,0,0\n" if name == "bad" else ""))
    with network() as hosts, ExitStack() as stack:
        _, job = (
            stack.enter_context(jobs.start(ACME, shelf, {"train": path}, host, hosts))
            for path, host in zip(rows.values(), hosts)
        )
        jobs.wait_for_script(job)
        assert job.wait(SECONDS) == 1, job.log
        assert failure(jobs.ml(hosts[1])).startswith("/opt/ml/input/data/train/rows.csv: line 301")
