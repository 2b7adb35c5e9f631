"""package → AWS's real `train` → model.tar.gz → AWS's real `serve` → the answers given here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.toolkits.conftest import CASES, KMEANS, Case, Shelf, differences, request_of
from tests.toolkits.contract import pack, toolkit_job, unpack
from tests.toolkits.serving import serving

TOLERANCE = 1e-5
WORKERS = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}


def check(case: Case, shelf: Shelf, image: Path, folder: Path) -> None:
    ml = folder / "job" / "ml"
    ml.mkdir(parents=True)
    source = shelf.packed(case.name, "script")
    channels = case.channels(folder)
    with toolkit_job(ml, image, source, channels, case.hyperparameters) as job:
        assert job.wait() == 0, job.log
    assert not (ml / "output" / "failure").exists()
    made = unpack(pack(ml / "model", folder / "model.tar.gz"), folder / "made")
    here = shelf.train(case, channels, folder)
    packed = shelf.packed(made, "model")
    serve = folder / "endpoint"
    unpack(packed / "model.tar.gz", serve / "model")
    example = json.loads((made / "algorithm.json").read_bytes())["example"]
    with serving(serve, image, WORKERS) as endpoint:
        for body, content_type in (
            (example["body"].encode(), example["content_type"]),
            (request_of(case), case.content_type),
        ):
            status, answer = endpoint.ask(body, content_type)
            assert status == 200, (answer, endpoint.container.log)
            expected = shelf.answer(here, body, content_type)
            assert differences(json.loads(answer), expected) <= TOLERANCE
        status, fault = endpoint.ask(b"[[1,", case.content_type)
        assert (status, json.loads(fault)["error"]["code"]) == (400, "malformed_payload")


def test_kmeans_answers_there_as_it_does_here(
    shelf: Shelf, image: Path, java: None, tmp_path: Path
) -> None:
    check(KMEANS, shelf, image, tmp_path)


@pytest.mark.parametrize("case", [case for case in CASES if case is not KMEANS], ids=str)
def test_every_algorithm_answers_there_as_it_does_here(
    case: Case, shelf: Shelf, image: Path, java: None, long: None, tmp_path: Path
) -> None:
    check(case, shelf, image, tmp_path)
