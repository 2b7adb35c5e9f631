"""A folder of models: each is loaded when it is asked, and makes room for others."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import Algoshelf
from tests.core.serving.conftest import Server, serving


def invoked(server: Server, name: str, body: bytes) -> int:
    return server.ask(body, path=f"/models/{name}/invoke").status


def loaded(server: Server) -> set[str]:
    return {each["modelName"] for each in server.ask(path="/models").json["models"]}


def test_models_are_loaded_when_asked_and_make_room(
    model: Path, tmp_path: Path, bodies: list[bytes]
) -> None:
    folder = tmp_path / "models"
    for name in ("a", "b", "c"):
        shutil.copytree(model, folder / name)
    shutil.copytree(model, folder / "broken")
    (folder / "broken" / "model-0000.params").write_bytes(b"no parameters")
    shutil.copytree(model, tmp_path / "outside")
    (folder / "link").symlink_to(tmp_path / "outside")
    words = ("--models", folder, "--max-models", 2, "--workers", 1, "--multi-model")
    with serving(*words) as server:
        assert server.ask(path="/ping").status == 200
        assert loaded(server) == set()
        assert server.ask(bodies[0]).code == "no_such_model"  # which of them?
        first = server.ask(bodies[0], path="/models/a/invoke")
        assert first.status == 200
        assert server.ask(bodies[0], X_Amzn_SageMaker_Target_Model="b").body == first.body
        assert loaded(server) == {"a", "b"}

        assert invoked(server, "a", bodies[0]) == 200  # b is the one that rests for longest
        assert invoked(server, "c", bodies[0]) == 200
        assert loaded(server) == {"a", "c"}

        for _ in range(2):
            refused = server.ask(bodies[0], path="/models/broken/invoke")
            assert (refused.status, refused.code) == (422, "broken_model")
            told = refused.json["error"]["message"]
            assert "broken cannot be loaded: " in told
            assert "model-0000.params" in told
            assert str(tmp_path) not in told
            assert server.ask(bodies[0], path="/models/a/invoke").body == first.body
            assert loaded(server) == {"a", "c"}  # it has cost no other its place
        shutil.copy(model / "model-0000.params", folder / "broken")
        os.utime(folder / "broken" / "model-0000.params", (1, 1))
        assert invoked(server, "broken", bodies[0]) == 200  # it is whole now

        assert server.ask(bodies[0], path="/models/link/invoke").status == 422
        for name in ("nothing", "..", "%2e%2e", "a%2F..%2Fb", ".hidden", "a/../b"):
            assert invoked(server, name, bodies[0]) == 404, name
        assert len(loaded(server)) == 2

        with ThreadPoolExecutor(6) as threads:  # more models than are loaded at a time
            asked = [threads.submit(invoked, server, "abc"[i % 3], bodies[0]) for i in range(18)]
            assert {each.result() for each in asked} <= {200, 503}
        assert invoked(server, "b", bodies[0]) == 200
        assert len(loaded(server)) <= 2
        assert server.ask(method="DELETE", path="/models/b").status == 200
        assert "b" not in loaded(server)
        assert invoked(server, "b", bodies[0]) == 200  # it comes back when it is asked
    assert "makes room for c" in server.log


def test_a_folder_of_models_is_given_alone(algoshelf: Algoshelf, tmp_path: Path) -> None:
    for words, told in (
        (("--models", tmp_path, "x"), "give either MODEL or --models"),
        (("--models", tmp_path / "none"), "none: no such folder"),
        (("--max-models", 3, "x"), "--max-models works only with --models"),
    ):
        done = algoshelf("serve", *words)
        assert done.code != 0
        assert told in done.stderr
