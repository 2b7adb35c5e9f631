"""The image of one's own: it trains, stops with a checkpoint, goes on from it, and answers."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.toolkits.conftest import ACME, MNIST, Case, Shelf, differences, request_of
from tests.toolkits.containers import PATIENCE, Container
from tests.toolkits.contract import failure
from tests.toolkits.own import AS_USER, ENVIRONMENT, Builder, OwnImage
from tests.toolkits.serving import serving

STOPPED = 128 + signal.SIGTERM
GRACE_SECONDS = 120  # between SIGTERM and SIGKILL, as SageMaker has it


def until(job: Container, text: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while text not in job.log:
        assert job.process.poll() is None, job.log
        assert time.monotonic() < deadline, job.log
        time.sleep(0.05)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def build(case: Case, shelf: Shelf, builder: Builder) -> OwnImage:
    return builder.build(shelf.packed(case.name, "container"))


@pytest.mark.parametrize("case", [MNIST, ACME], ids=str)
def test_it_answers_as_a_model_trained_here(
    case: Case, shelf: Shelf, builder: Builder, long: None, tmp_path: Path
) -> None:
    image = build(case, shelf, builder)
    ml = tmp_path / "ml"
    channels = case.channels(tmp_path)
    with image.job(ml, channels, case.hyperparameters) as job:
        assert job.wait() == 0, job.log
    here = shelf.train(case, channels, tmp_path)
    with serving(ml, None, ENVIRONMENT, **image.options) as endpoint:
        status, answer = endpoint.ask(request_of(case), case.content_type)
        assert status == 200, answer
        expected = shelf.answer(here, request_of(case), case.content_type)
        assert differences(json.loads(answer), expected) <= 1e-5
        server = endpoint.container
        assert server.user == AS_USER
        server.signal(signal.SIGTERM)
        assert server.wait(30) == 0, server.log


def test_a_stopped_job_goes_on_to_the_same_bytes(
    shelf: Shelf, builder: Builder, long: None, tmp_path: Path
) -> None:
    image = build(MNIST, shelf, builder)
    channels = MNIST.channels(tmp_path)
    hyperparameters = {"epochs": 8, "checkpoint_every": "1h"}
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    with image.job(whole, channels, hyperparameters) as job:
        assert job.wait() == 0, job.log
    with image.job(stopped, channels, hyperparameters) as job:
        until(job, "epoch=1 ")
        job.signal(signal.SIGTERM)
        assert job.wait(GRACE_SECONDS) == STOPPED, job.log
    assert not (stopped / "output" / "failure").exists()
    assert not list((stopped / "model").glob("*"))  # the folder itself is made for the job's user
    with image.job(stopped, channels, hyperparameters) as job:
        assert job.wait() == 0, job.log
        assert "resuming after step" in job.log
    assert contents(stopped / "model") == contents(whole / "model")


def test_a_failure_has_its_reason(
    shelf: Shelf, builder: Builder, long: None, tmp_path: Path
) -> None:
    image = build(MNIST, shelf, builder)
    with image.job(tmp_path / "ml", MNIST.channels(tmp_path), {"epochs": "many"}) as job:
        assert job.wait(30) == 1, job.log
    assert failure(tmp_path / "ml").startswith("epochs: expected a whole number")
