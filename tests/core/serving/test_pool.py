"""Models that end the process that computes them: given up, and never at another's cost."""

from __future__ import annotations

import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from algoshelf.core import codecs

from tests.conftest import ROOT
from tests.core.serving.conftest import serving
from tests.registry.conftest import install

DEADLY = '''
import os
import signal
from pathlib import Path

from algoshelf.algorithms.mnist_cnn import MnistCnn
from algoshelf.core import hookimpl


class Deadly(MnistCnn):
    """Ends its process by each request, or by being loaded, as a file in its folder says."""

    name = "deadly"

    def model_fn(self, model_dir, device=None):
        if Path(model_dir, "loading").exists():
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().model_fn(model_dir, device)

    def predict_fn(self, input_data, model):
        if len(input_data) == 7:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().predict_fn(input_data, model)


@hookimpl
def algoshelf_algorithms():
    return [Deadly]
'''


@pytest.fixture
def deadly(model: Path, tmp_path: Path) -> Path:
    """An artifact of the algorithm above, which is installed at ``tmp_path / "site"``."""
    (tmp_path / "site").mkdir()
    install(tmp_path / "site", "deadly", DEADLY)
    folder = Path(shutil.copytree(model, tmp_path / "deadly"))
    path = folder / "algorithm.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "algorithm": "deadly"}))
    return folder


def _path(tmp_path: Path) -> str:
    return str(tmp_path / "site") + os.pathsep + str(ROOT)


def test_a_model_that_kills_is_given_up_and_others_go_on(
    deadly: Path, model: Path, tmp_path: Path, bodies: list[bytes], digits: tuple
) -> None:
    poison = codecs.encode_npy(digits[0][:7])
    with serving(
        f"good={model}", f"bad={deadly}", "--workers", 2, PYTHONPATH=_path(tmp_path)
    ) as server, ThreadPoolExecutor(8) as threads:
        before = server.ask(bodies[0], path="/models/good/invoke").body
        assert server.ask(bodies[0], path="/models/bad/invoke").status == 200
        killing = [threads.submit(server.ask, poison, path="/models/bad/invoke") for _ in range(6)]
        while not all(each.done() for each in killing):
            answer = server.ask(bodies[0], path="/models/good/invoke")
            assert (answer.status, answer.body) == (200, before)
            assert server.ask(path="/ping").status == 200
        assert {each.result().status for each in killing} == {503}
        after = server.ask(bodies[0], path="/models/bad/invoke")
        assert (after.status, after.code) == (503, "model_given_up")
        listed = server.ask(path="/models").json["models"]
        assert {each["modelName"]: each["state"] for each in listed} == {
            "good": "serving", "bad": "given up",
        }  # fmt: skip
        server.until(lambda: len(server.workers()) == 2)
        assert server.is_ready()
        restarts = server.metric("algoshelf_worker_restarts_total")
        assert restarts == 2
    assert f"bad ({deadly}) is given up: 2 workers died of it" in server.log
    assert "good" not in server.log.split("ready at")[1].split("is given up")[1]


def test_a_model_whose_loading_kills_is_refused_at_the_first_death(
    deadly: Path, model: Path, tmp_path: Path, bodies: list[bytes]
) -> None:
    (deadly / "loading").touch()
    with serving(
        model, "--workers", 2, "--multi-model", "--model-root", "/", PYTHONPATH=_path(tmp_path)
    ) as server, ThreadPoolExecutor(1) as threads:
        for count in (1, 2, 3, 4):
            order = codecs.encode_json({"model_name": "bad", "url": str(deadly)})
            posted = threads.submit(server.ask, order, codecs.JSON, "/models")
            while not posted.done():
                assert server.ask(bodies[0], path="/models/mnist-cnn/invoke").status == 200
                assert server.ask(path="/ping").status == 200
            assert (posted.result().status, posted.result().code) == (422, "serving_failed")
            server.until(lambda: server.metric("algoshelf_worker_restarts_total") == count)  # noqa: B023
            server.until(lambda: server.metric("algoshelf_workers") == 2)
    # mxnet has a handler of its own for this signal, which may be the one that ends the process
    ended = rf"{re.escape(str(deadly))}: loading it ended the process \((signal 11|exit code 255)\)"
    assert re.search(ended, server.log)
