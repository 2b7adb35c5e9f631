"""``algoshelf doctor``: right on machines with and without mxnet, a whole processor, and a GPU."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from algoshelf.algorithms.kmeans import KMeans
from algoshelf.algorithms.mnist_cnn import MnistCnn
from algoshelf.core import mx
from algoshelf.core.conformance import devices as comparing
from algoshelf.core.runtime import cores
from algoshelf.core.runtime.devices import Driver, Gpu, machine_code
from algoshelf.registry.doctor import machine as doctor

from tests.conftest import Algoshelf, InProcess, Result
from tests.core.runtime.test_cores import ALL, V2, machine
from tests.core.training.test_devices import DRIVER

SMI = "#!/bin/sh\necho 'NVIDIA A100-SXM4-40GB, 8.0'\n"
GPUS = {"sm_80": ("NVIDIA A100-SXM4-40GB", 8, 0), "sm_90": ("NVIDIA H100 80GB HBM3", 9, 0)}


def named(result: Result) -> dict[str, dict[str, Any]]:
    """The checks by name; that the exit code says how it stands."""
    assert result.json["ok"] == (result.code == 0)
    return {each["name"]: each for each in result.json["checks"]}


@pytest.mark.apart
def test_this_machine_computes_the_same_on_two_contexts(algoshelf: Algoshelf) -> None:
    """Every network, the whole way that the first person with a GPU goes."""
    result = algoshelf("doctor", "--json")
    assert result.code == 0, result.text + result.stderr
    checks = named(result)
    assert checks["mxnet"]["text"].startswith("1.9.1, built for processors")
    assert checks["Python"]["status"] == checks["numpy"]["status"] == "ok"
    assert checks["GPUs"]["text"].startswith("none was seen")
    assert checks["self-test"]["text"].startswith("no GPU was seen: cpu(1) against cpu(0): ")
    found = {each["name"]: each for each in result.json["comparisons"]}
    assert {each["status"] for each in found.values()} == {"passed", "skipped"}
    networks = {
        *(
            "mnist-cnn small",
            "mnist-cnn large",
            "kmeans",
            "image-classification",
            "text-sentiment textcnn",
        ),
        *("text-sentiment bilstm", "text-sentiment ngram", "tabular mlp", "tabular resnet"),
        *("tabular linear", "recommender mf", "recommender fm", "recommender neumf"),
        *("recommender history", "forecasting tide", "forecasting deepar"),
    }
    assert networks <= found.keys()
    assert {"KVStore local over cpu(0), cpu(1)", "KVStore device over cpu(1), cpu(0)"} <= set(found)
    assert any(name.endswith("over cpu(1), cpu(0) by a KVStore") for name in found)
    assert found["mnist-cnn in mixed precision"]["reason"] == "needs a GPU"


class Wrong(MnistCnn):
    """On cpu(1) it draws other random numbers: there it learns something else."""

    def train(self, run: Any) -> None:
        run.seed += run.devices[0].device_id
        super().train(run)


class Refusing(KMeans):
    def train(self, run: Any) -> None:
        if run.devices[0].device_id:
            raise mx.base.MXNetError("CUDA: Check failed: no kernel image is available\nstack")
        super().train(run)


def test_a_device_that_computes_something_else_is_found() -> None:
    one, other = [mx.cpu(0)], [mx.cpu(1)]
    wrong, _, refusing, *rest = comparing.compare([Wrong(), Refusing()], one, other)
    assert wrong.status == refusing.status == "failed"
    assert wrong.deviation > comparing.TOLERANCE
    assert wrong.where
    assert refusing.reason == "CUDA: Check failed: no kernel image is available"
    assert [each.status for each in rest] == ["skipped", "skipped", "passed"]


@pytest.mark.parametrize(
    ("allowed", "status", "text"),
    [
        ("50000 100000", "warning", "1 of {}, a quota of 0.5 (cgroup); 1 threads an operator"),
        ("200000 100000", "ok", "a quota of 2 (cgroup)"),
        ("max 100000", "ok", "no quota"),
    ],
)
def test_a_quota_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: str, status: str, text: str
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    mounts = V2.format(top="/", place="/sys/fs/cgroup")
    root = machine(tmp_path, "0::/\n", mounts, {f"{ALL}/cpu.max": f"{allowed}\n"})
    check = doctor.processors(root)
    assert check.status == status
    assert text.format(os.cpu_count()) in check.text
    monkeypatch.setenv("OMP_NUM_THREADS", str(cores.cores(root) + 1))
    check = doctor.processors(root)
    assert (check.status, check.fix) == ("warning", "unset OMP_NUM_THREADS")


@pytest.fixture
def driver(tmp_path: Path) -> Any:
    """A stand-in for NVIDIA's driver that shows one GPU, as a library."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, to make the stand-in")

    def make(name: str, major: int, minor: int, cuda: int = 12020) -> Path:
        source = DRIVER.replace('{"Tesla T4", "NVIDIA H100"}', f'{{"{name}"}}')
        source = source.replace("{7, 9}, minors[] = {5, 0}", f"{{{major}}}, minors[] = {{{minor}}}")
        source = source.replace("*count = 2", "*count = 1")
        source += f"int cuDriverGetVersion(int *version) {{ *version = {cuda}; return 0; }}\n"
        folder = tmp_path / "driver"
        folder.mkdir()
        (folder / "driver.c").write_text(source)
        build = ["gcc", "-shared", "-fPIC", "-o", "libcuda.so.1", "driver.c"]
        subprocess.run(build, cwd=folder, check=True)
        return folder

    return make


@pytest.mark.parametrize("kind", GPUS)
def test_a_gpu_is_told_whether_its_architecture_has_kernels(
    algoshelf: Algoshelf, driver: Any, kind: str
) -> None:
    folder = driver(*GPUS[kind])
    result = algoshelf("doctor", "--quick", "--json", LD_LIBRARY_PATH=str(folder))
    check = named(result)["GPU 0"]
    assert kind in check["text"]
    assert check["status"] == "warning"
    if kind == "sm_90":
        assert "no kernels: mxnet-cu112 1.9.1 holds machine code for sm_50, sm_60" in check["text"]
        assert "a GPU up to 8.9" in check["fix"]
    else:
        assert "runs the kernels for sm_80, but mxnet is built for processors" in check["text"]
        assert "pip install 'algoshelf[gpu]'" in check["fix"]


def test_a_gpu_with_mxnet_for_it_is_well_if_the_driver_is_new_enough() -> None:
    loaded = doctor.Mxnet("1.9.1", has_cuda=True)
    t4 = Gpu("Tesla T4", 7, 5)
    (check,) = doctor.gpus(Driver((11, 4), gpus=[t4]), loaded)
    assert check.status == "ok"
    assert check.text.endswith("runs the kernels for sm_70")
    old, _ = doctor.gpus(Driver((10, 2), gpus=[t4]), loaded)
    assert (old.status, old.fix) == ("failed", "install a newer driver")


@pytest.mark.parametrize(
    ("capability", "code"),
    [((3, 7), None), ((5, 2), 50), ((7, 5), 70), ((8, 0), 80), ((8, 9), 86), ((9, 0), None)],
)
def test_machine_code_serves_its_major_version_from_its_minor_one_up(
    capability: tuple[int, int], code: int | None
) -> None:
    assert machine_code(Gpu("", *capability)) == code


def test_a_gpu_that_the_driver_does_not_show_but_its_tool_does(
    in_process: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that has the tool of the host, and not its library."""
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.write_text(SMI)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    (check,) = doctor.gpus(Driver(fault="no NVIDIA driver: libcuda.so.1"), doctor.Mxnet("1.9.1"))
    assert check.status == "warning"
    assert "nvidia-smi lists NVIDIA A100-SXM4-40GB, 8.0, but no NVIDIA driver" in check.text
    assert "--gpus all" in check.fix


def test_a_process_that_dies_or_lies_is_a_fault_and_not_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """mxnet for GPUs may abort: so it is imported, and tried, in a process of its own."""
    program = tmp_path / "python"
    program.write_text(
        '#!/bin/sh\necho \'{"name": "mnist-cnn", "status": "passed"}\'\nkill -SEGV $$\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    check, found = doctor.self_test(doctor.Mxnet("1.9.1"))
    assert check.status == "failed"
    assert check.text == "ended after mnist-cnn: by SIGSEGV"
    assert len(found) == 1
    assert doctor.probe().fault == "it does not import: by SIGSEGV"


def test_what_people_read_is_what_programs_read(in_process: InProcess) -> None:
    read = in_process("doctor", "--quick")
    told = json.loads(in_process("doctor", "--quick", "--json").text)
    assert read.code == 0
    for each in told["checks"]:
        if each["name"] != "disk":  # others write there, too
            assert each["text"] in read.text
        assert each["fix"] in read.text
    assert "nothing failed" in read.text
