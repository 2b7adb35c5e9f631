"""``algoshelf package``: what it writes runs where nothing else of algoshelf is installed."""

from __future__ import annotations

import io
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from algoshelf.core.inference.answers import is_close
from packaging.requirements import Requirement

from tests.conftest import ROOT, Algoshelf
from tests.core.serving.conftest import Server
from tests.registry.conftest import Site

IRIS = ROOT / "algorithms" / "kmeans" / "sample" / "iris.csv"
ACME = ROOT / "tests" / "registry" / "acme-tabular" / "acme_tabular.py"
KEPT = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ}
# Calls the handlers of the module argv[1] as AWS's toolkit does, once well and once badly.
ASK = """
import importlib, json, sys
import algoshelf.core
class Context:
    status = 200
    def set_response_status(self, code, phrase): self.status = code
handlers = importlib.import_module(sys.argv[1])
model, body, content_type = handlers.model_fn(sys.argv[2]), sys.argv[3], sys.argv[4]
answer, kind = handlers.transform_fn(model, body, content_type, "application/json", Context())
context = Context()
fault, fault_kind = handlers.transform_fn(model, "[[1,", "application/json", "*/*", context)
print(json.dumps([answer.decode(), kind, json.loads(fault), context.status,
                  algoshelf.core.__file__, "algoshelf.registry" in sys.modules]))
"""


def clean(folder: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python with ``folder`` and the dependencies on its path: -S leaves .pth files unread."""
    packages = sysconfig.get_path("purelib")
    return subprocess.run(
        [sys.executable, "-S", *map(str, arguments)],
        cwd=folder,
        env={"PYTHONPATH": f"{folder}:{packages}", **KEPT, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def ask(code: Path, module: str, model: Path) -> tuple[object, int, str]:
    """The answer to the model's own example, and the status and code of a malformed request."""
    example = json.loads((model / "algorithm.json").read_bytes())["example"]
    done = clean(code, "-c", ASK, module, model, example["body"], example["content_type"])
    assert done.returncode == 0, done.stderr
    answer, kind, fault, status, where, registry = json.loads(done.stdout)
    assert where.startswith(str(code))
    assert not registry
    assert kind == "application/json"
    return json.loads(answer), status, fault["error"]["code"]


def contract(base: Path, data: Path) -> dict[str, str]:
    """A container's /opt/ml at ``base`` whose channel train holds ``data``; its environment.

    The channel code is where the SDK puts the script of a job without network.
    """
    channel = base / "input" / "data" / "train"
    channel.mkdir(parents=True)
    channel.with_name("code").mkdir()
    (base / "input" / "config").mkdir()
    shutil.copy(data, channel)
    return {
        "SAGEMAKER_BASE_DIR": str(base),
        "SM_CHANNEL_TRAIN": str(channel),
        "SM_CHANNEL_CODE": str(channel.with_name("code")),
        "SM_MODEL_DIR": str(base / "model"),
    }


def contents(folder: Path) -> dict[str, tuple[bytes, int, float]]:
    """Each file's bytes, mode and time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        stat = path.stat()
        body = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = body, stat.st_mode, stat.st_mtime
    return found


def acme(site: Site) -> Path:
    """The third-party plugin as an installer leaves it; its .dist-info."""
    info = site.install("acme-tabular", ACME.read_text(), "0.3")
    listed = ("acme_tabular.py", f"{info.name}/METADATA", f"{info.name}/RECORD", "../bin/acme")
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in listed))
    return info


@pytest.mark.parametrize("kind", ["script", "container"])
def test_twice_the_same_bytes(kind: str, algoshelf: Algoshelf) -> None:
    for name, zone in (("one", "UTC"), ("two", "Asia/Tokyo")):
        packed = algoshelf("package", "kmeans", "--as", kind, "--output", name, TZ=zone)
        assert packed.code == 0, packed.stderr
    one = contents(algoshelf.folder / "one")
    assert one == contents(algoshelf.folder / "two")
    assert {time for _, _, time in one.values()} == {315_532_800}


def test_it_imports_no_mxnet(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from algoshelf.registry.cli import main\n"
        "try: main(['package', 'mnist-cnn', '--as', 'script', '--output', 'out'])\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        "sys.exit('mxnet' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)


def test_only_what_the_image_lacks_is_required(algoshelf: Algoshelf) -> None:
    wanted = {}
    for name in ("image-classification", "text-classification"):
        assert algoshelf("package", name, "--as", "script", "--output", name).code == 0
        lines = (algoshelf.folder / name / "requirements.txt").read_text().split()
        assert all("==" in line for line in lines)
        wanted[name] = {line.split("==")[0] for line in lines}
    base = {"numpy", "pillow", "pluggy", "pydantic", "typing-extensions"}
    assert wanted["image-classification"] == base | {"gluoncv"}  # the image has an older one
    assert wanted["text-classification"] == base  # it has gluonnlp


def test_the_script_trains_and_answers_alone(algoshelf: Algoshelf, tmp_path: Path) -> None:
    assert algoshelf("package", "kmeans", "--as", "script", "--output", "code").code == 0
    environment = contract(tmp_path / "ml", IRIS)
    arguments = ("-k", "3", "--restarts", "1", "--label-size", "1", "--seed", "7")
    trained = clean(tmp_path / "code", "entry_point.py", *arguments, **environment)
    assert trained.returncode == 0, trained.stderr
    model = tmp_path / "ml" / "model"
    made = json.loads((model / "algorithm.json").read_bytes())
    assert (made["seed"], made["hyperparameters"]["k"]) == (7, 3)
    answer, status, code = ask(tmp_path / "code", "entry_point", model)
    assert answer == algoshelf("predict", model, "--accept", "application/json").json
    assert (status, code) == (400, "malformed_payload")
    assert not (tmp_path / "ml" / "output").exists()


def test_a_failure_says_why_in_its_first_line(algoshelf: Algoshelf, tmp_path: Path) -> None:
    assert algoshelf("package", "kmeans", "--as", "script", "--output", "code").code == 0
    environment = contract(tmp_path / "ml", IRIS)
    failure = tmp_path / "ml" / "output" / "failure"
    for arguments, reason in (
        (("-k", "none"), "k: expected a whole number from 1 to 100000, got 'none'"),
        (("--clusters", "3"), "clusters: no such hyperparameter"),
        (("--checkpoint-every", "soon"), "checkpoint_every: expected a time"),
    ):
        ended = clean(tmp_path / "code", "entry_point.py", *arguments, **environment)
        assert ended.returncode == 1
        assert failure.read_text().splitlines()[0].startswith(reason)
        failure.unlink()
    config = tmp_path / "ml" / "input" / "config" / "inputdataconfig.json"
    config.write_text(json.dumps({"train": {"TrainingInputMode": "Pipe"}}))
    assert clean(tmp_path / "code", "entry_point.py", **environment).returncode == 1
    assert "FastFile" in failure.read_text().splitlines()[0]


def test_a_job_reads_tables_as_it_is_told_and_leaves_markers_alone(
    algoshelf: Algoshelf, tmp_path: Path
) -> None:
    assert algoshelf("package", "kmeans", "--as", "script", "--output", "code").code == 0
    lines = IRIS.read_text().splitlines()[1:]
    rows = "".join(f"{i};{line.replace(',', ';')}\n" for i, line in enumerate(lines))
    (tmp_path / "rows.csv").write_text(rows)
    environment = contract(tmp_path / "ml", tmp_path / "rows.csv")
    (tmp_path / "ml" / "input" / "data" / "train" / "_SUCCESS").write_text("")
    arguments = ("-k", "3", "--restarts", "1", "--delimiter", '"semicolon"', "--columns", "2-5")
    trained = clean(tmp_path / "code", "entry_point.py", *arguments, **environment)
    assert trained.returncode == 0, trained.stderr
    made = json.loads((tmp_path / "ml" / "model" / "algorithm.json").read_bytes())
    assert made["input"]["shape"] == [0, 4]
    failure = tmp_path / "ml" / "output" / "failure"
    refused = clean(tmp_path / "code", "entry_point.py", "--header", "perhaps", **environment)
    assert refused.returncode == 1
    assert failure.read_text().startswith("header: expected yes or no, got 'perhaps'")


def test_a_third_party_plugin_is_packed_along(site: Site, tmp_path: Path) -> None:
    acme(site)
    packed = site("package", "acme-tabular", "--as", "script", "--output", "code")
    assert packed.code == 0, packed.stderr
    code = tmp_path / "code"
    assert (code / "acme_tabular.py").read_bytes() == ACME.read_bytes()
    rows = [f"{i % 3},{i % 3 == 0:d},{i % 3 == 1:d},{i % 3 == 2:d},0" for i in range(60)]
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    environment = contract(tmp_path / "ml", tmp_path / "rows.csv")
    trained = clean(code, "entry_point.py", "--epochs", "1", "--batch-size", "8", **environment)
    assert trained.returncode == 0, trained.stderr
    made = json.loads((tmp_path / "ml" / "model" / "algorithm.json").read_bytes())
    assert made["distribution"] == "acme-tabular 0.3"
    ask(code, "entry_point", tmp_path / "ml" / "model")


def test_what_is_hidden_in_a_plugin_stays_at_home(site: Site, tmp_path: Path) -> None:
    site.install("acme-tabular", ACME.read_text())
    folder = site.folder / "acme_tabular"
    folder.mkdir()
    (site.folder / "acme_tabular.py").rename(folder / "__init__.py")
    (folder / ".env").write_text("AWS_SECRET_ACCESS_KEY=secret")
    packed = site("package", "acme-tabular", "--as", "script", "--output", "packed")
    assert packed.code == 0, packed.stderr
    files = {path.name for path in (tmp_path / "packed").rglob("*")}
    assert "acme_tabular" in files
    assert ".env" not in files


def test_a_model_answers_by_its_code_and_under_serve(
    model: Path, algoshelf: Algoshelf, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        packed = algoshelf("package", model, "--as", "model", "--output", name)
        assert packed.code == 0, packed.stderr
    archive = (tmp_path / "one" / "model.tar.gz").read_bytes()
    assert archive == (tmp_path / "two" / "model.tar.gz").read_bytes()
    unpacked = tmp_path / "model"
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        assert {(member.uid, member.uname) for member in members} == {(0, "")}
        members.extractall(unpacked)
    answer, status, code = ask(unpacked / "code", "inference", unpacked)
    assert (status, code) == (400, "malformed_payload")
    example = json.loads((model / "algorithm.json").read_bytes())["example"]
    server = Server(unpacked, "--port", 0, "--workers", 1).wait()
    try:
        served = server.ask(
            example["body"].encode(), example["content_type"], accept="application/json"
        )
    finally:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(60)
        server.process.stderr.close()  # type: ignore[union-attr]
    assert is_close(served.json, answer)  # operators that are fused round otherwise


def test_the_container_trains_and_stops_with_a_checkpoint(site: Site, tmp_path: Path) -> None:
    acme(site)
    packed = site("package", "acme-tabular", "--as", "container", "--output", "image")
    assert packed.code == 0, packed.stderr
    image, root = tmp_path / "image", tmp_path / "root"
    names = {path.name for path in (image / "wheels").iterdir()}
    assert "acme_tabular-0.3-py3-none-any.whl" in names
    for path in (image / "wheels").iterdir():
        zipfile.ZipFile(path).extractall(root)
    for info in root.glob("*.dist-info"):
        assert "\nVersion: 0." in (info / "METADATA").read_text()
    for name, device in (("Dockerfile", "cpu"), ("Dockerfile.gpu", "gpu")):
        lines = (image / name).read_text()
        assert f"COPY requirements-{device}.txt ." in lines
        assert "NVIDIA_VISIBLE_DEVICES=all" in lines
    for name in ("train", "serve"):
        assert os.access(image / name, os.X_OK)
        compile((image / name).read_text(), name, "exec")
    (tmp_path / "rows.csv").write_text("0,1,0,0,0\n1,0,1,0,0\n2,0,0,1,0\n" * 20)
    base = contract(tmp_path / "ml", tmp_path / "rows.csv")["SAGEMAKER_BASE_DIR"]
    config = tmp_path / "ml" / "input" / "config"
    (config / "inputdataconfig.json").write_text(
        json.dumps({"train": {"TrainingInputMode": "File"}})
    )
    hyperparameters = {"epochs": "10000", "batch_size": "8", "checkpoint_every": "1s"}
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    with subprocess.Popen(
        [sys.executable, "-S", str(image / "train")],
        env={
            **KEPT,
            "PYTHONPATH": f"{root}:{sysconfig.get_path('purelib')}",
            "SAGEMAKER_BASE_DIR": base,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout or ():
            if line.startswith("epoch=2 "):
                break
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read() if process.stdout else ""
    assert process.returncode == 128 + signal.SIGTERM, rest
    assert list((tmp_path / "ml" / "checkpoints").glob("step-*"))


def test_an_image_is_built_on_a_digest_and_gives_up_root(site: Site, tmp_path: Path) -> None:
    """What `docker build` says to a tag is said by a line that runs here as it runs there."""
    assert site("package", "kmeans", "--as", "container", "--output", "image").code == 0
    text = (tmp_path / "image" / "Dockerfile").read_text()
    assert re.findall(r"^FROM (.*)$", text, re.MULTILINE) == ["${BASE} AS build", "${BASE}"]
    (check,) = re.findall(r"^RUN (case .*\n.*)$", text, re.MULTILINE)
    for base, code in (("python@sha256:ab", 0), ("python:3.11-slim-bookworm", 1), ("", 1)):
        done = subprocess.run(
            ["sh", "-c", check.replace("\\\n", "")], env={"BASE": base}, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, "--build-arg BASE=" in done.stderr) == (code, bool(code))
    lines = (tmp_path / "image" / "requirements-cpu.txt").read_text().splitlines()
    assert {"pip", "setuptools"} <= set(lines)
    for name in ("train", "serve"):
        assert 'give_up_root("algoshelf"' in (tmp_path / "image" / name).read_text()


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and mount namespaces"
)
def test_the_container_trains_as_its_own_user_where_opt_ml_is_roots(
    site: Site, tmp_path: Path
) -> None:
    """As on SageMaker root starts it; what it writes is its user's, what it reads root's."""
    assert site("package", "kmeans", "--as", "container", "--output", "image").code == 0
    root, ml = tmp_path / "root", tmp_path / "ml"
    for path in (tmp_path / "image" / "wheels").iterdir():
        zipfile.ZipFile(path).extractall(root)
    base = contract(ml, IRIS)["SAGEMAKER_BASE_DIR"]
    config = ml / "input" / "config"
    (config / "inputdataconfig.json").write_text('{"train": {"TrainingInputMode": "File"}}')
    (config / "hyperparameters.json").write_text('{"k": "3", "restarts": "1"}')
    passwd = tmp_path / "passwd"
    entry = "algoshelf:x:61813:61813::/tmp:/usr/sbin/nologin\n"
    passwd.write_text(Path("/etc/passwd").read_text() + entry)
    for folder in (tmp_path, *tmp_path.parents):
        if folder not in (Path("/"), Path("/tmp")):
            folder.chmod(folder.stat().st_mode | 0o005)
    python = tmp_path / "python"  # whose own folder may be closed to the user
    python.mkdir()
    start = (
        f"mount --bind {passwd} /etc/passwd && mount --bind {sys.base_prefix} {python} && "
        f"exec {python}/bin/python3 -S {tmp_path}/image/train"
    )
    packages = {sysconfig.get_path("purelib"), str(Path(np.__file__).parents[1])}
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", start],
        env={
            **KEPT,
            "PYTHONPATH": ":".join([str(root), *packages]),
            "LD_LIBRARY_PATH": f"{python}/lib",
            "SAGEMAKER_BASE_DIR": base,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    owners = {path.name: path.stat().st_uid for path in ml.rglob("*")}
    assert owners["algorithm.json"] == owners["model-0000.params"] == 61813
    assert owners["hyperparameters.json"] == owners["iris.csv"] == 0


def fake_wheel(folder: Path, name: str, version: str) -> None:
    """A wheel without a module, that needs nothing."""
    stem = f"{name.replace('-', '_')}-{version}"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        wheel.writestr(f"{stem}.dist-info/METADATA", head)
        wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{stem}.dist-info/RECORD", "")


@pytest.mark.skipif(
    (sys.version_info[:2], platform.machine()) != ((3, 11), "x86_64"), reason="an image's Python"
)
def test_a_lock_installs_what_was_found_and_nothing_else(site: Site, tmp_path: Path) -> None:
    index = tmp_path / "index"
    index.mkdir()
    for each in map(Requirement, metadata.requires("algoshelf") or ()):
        if each.marker is None or any(
            each.marker.evaluate({"extra": extra}) for extra in ("cpu", "gpu", "serve")
        ):
            least = [bound.version for bound in each.specifier if bound.operator in (">=", "==")]
            fake_wheel(index, each.name, *(least or ["1.0"]))
    for name in ("pip", "setuptools"):
        fake_wheel(index, name, "99.0")
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull}
    packed = site(
        "package", "kmeans", "--as", "container", "--lock", "--output", "image", **settings
    )
    assert packed.code == 0, packed.stderr
    image = tmp_path / "image"
    lines = (image / "requirements-cpu.txt").read_text().splitlines()
    assert all(re.search(r" --hash=sha256:[0-9a-f]{64}$", line) for line in lines)
    assert any(line.startswith("./wheels/algoshelf-") for line in lines)
    assert any(line.startswith("pip==99.0 ") for line in lines)
    install = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "-r"]

    def installs() -> bool:
        command = [*install, "requirements-cpu.txt"]
        environment = {**KEPT, **settings}
        done = subprocess.run(command, cwd=image, env=environment, capture_output=True, check=False)
        return done.returncode == 0

    assert installs()
    with zipfile.ZipFile(next(index.glob("click-*")), "a") as wheel:
        wheel.writestr("click.py", "print('somebody else')")
    assert not installs()
    refused = site("package", "kmeans", "--as", "script", "--lock", "--output", "out")
    assert refused.code == 2
    assert "--lock applies to an image of your own" in refused.stderr


NEW_SYNTAX = "\nmatch 1:\n    case _:\n        pass\n"


def test_what_could_not_run_is_refused_and_nothing_is_left(site: Site, tmp_path: Path) -> None:
    acme(site)
    module = site.folder / "acme_tabular.py"
    before = sorted(tmp_path.iterdir())

    def refused(*arguments: object, says: str) -> None:
        ended = site("package", *arguments, "--output", "deep/er/out")
        assert ended.code in (1, 2)
        assert says in ended.stderr
        assert "Traceback" not in ended.stderr
        assert sorted(tmp_path.iterdir()) == before

    refused("mnist-cmn", "--as", "script", says="did you mean 'mnist-cnn'")
    refused("mnist-cnn", "--as", "model", says="give a folder")
    refused("nowhere/model", "--as", "model", says="no such model folder")
    refused("kmeans", "--as", "container", "--offline", says="--offline")
    module.write_text(ACME.read_text() + NEW_SYNTAX)
    refused("acme-tabular", "--as", "script", says="acme_tabular.py, line ")
    assert site("package", "acme-tabular", "--as", "container", "--output", "out").code == 0
    shutil.rmtree(tmp_path / "out")
    module.write_text(ACME.read_text())
    (info,) = site.folder.glob("*.dist-info")
    record, metadata = info / "RECORD", info / "METADATA"
    listed, described = record.read_text(), metadata.read_text()
    with (site.folder / "vectors.bin").open("wb") as stream:
        stream.truncate(2**28)
    record.write_text(listed + "vectors.bin,,\n")
    refused("acme-tabular", "--as", "script", says="vectors.bin")
    record.write_text(listed + "fast.so,,\n")
    (site.folder / "fast.so").touch()
    refused("acme-tabular", "--as", "container", says="fast.so: is compiled")
    record.write_text(listed)
    metadata.write_text(described + "Requires-Python: >=3.9\n")
    refused("acme-tabular", "--as", "script", says="requires Python >=3.9")


def test_a_model_whose_plugin_is_missing_is_refused(
    model: Path, algoshelf: Algoshelf, tmp_path: Path
) -> None:
    copy = shutil.copytree(model, tmp_path / "copy")
    text = (copy / "algorithm.json").read_text()
    (copy / "algorithm.json").write_text(text.replace('"mnist-cnn"', '"acme-tabular"'))
    refused = algoshelf("package", "copy", "--as", "model", "--output", "out")
    assert refused.code == 2
    assert "made by 'acme-tabular' of algoshelf" in refused.stderr
    (copy / "algorithm.json").write_text(text)
    (copy / "model-0000.params").write_bytes(b"damaged")
    assert algoshelf("package", "copy", "--as", "model", "--output", "out").code == 2
    assert not (tmp_path / "out").exists()


def test_an_output_in_the_way_is_left_alone(algoshelf: Algoshelf, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("mine")
    for name in ("file", "folder"):
        refused = algoshelf("package", "kmeans", "--as", "script", "--output", name)
        assert refused.code == 2
        assert "choose another --output" in refused.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "file", "folder"]


def test_wheels_that_are_not_to_be_had_are_refused(algoshelf: Algoshelf, tmp_path: Path) -> None:
    arguments = ("package", "kmeans", "--as", "script", "--output", "out", "--offline")
    refused = algoshelf(*arguments, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path))
    assert refused.code == 1
    assert "pip did not find all requirements" in refused.stderr
    assert not list(tmp_path.iterdir())
