"""Each repair of mxnet 1.9.1: needed, and sufficient. A test that fails here retires a repair."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from algoshelf.core.runtime.cores import cores as usable_cores

PLAIN = "import mxnet\n"
OURS = "from algoshelf.core import mx; mx.load()\n"


def run(
    code: str, *, path: str = "", interpreter: tuple[str, ...] = (sys.executable,), **changes: str
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not re.match(r"OMP_|GOMP_|KMP_", k)}
    environment.update(changes)
    if path:
        environment["PYTHONPATH"] = path
    return subprocess.run(
        [*interpreter, "-c", code], capture_output=True, text=True, env=environment, check=False
    )


def test_numpy_bool() -> None:
    if tuple(map(int, np.__version__.split(".")[:2])) >= (1, 24):
        plain = run(PLAIN)
        assert "module 'numpy' has no attribute 'bool'" in plain.stderr
    assert run(OURS + "assert mx.nd.ones(2).asnumpy().sum() == 2").returncode == 0


def test_every_core_is_used() -> None:
    cores = usable_cores()
    if cores < 2:
        pytest.skip("a machine with one core has no half to leave idle")
    count = "\nimport ctypes; print(ctypes.CDLL('libgomp.so.1').omp_get_max_threads())"
    plain = run("import numpy; numpy.bool = numpy.bool_\n" + PLAIN + count)
    assert int(plain.stdout) < cores
    assert int(run(OURS + count).stdout) == cores
    assert int(run(OURS + count, OMP_NUM_THREADS="1").stdout) == 1


def test_the_threads_that_were_set_are_told() -> None:
    code = OURS + "print(mx.threads())"
    assert run(code, OMP_NUM_THREADS="3").stdout == "3\n"
    assert int(run(code).stdout) == usable_cores()


def test_replicas_on_the_processor_share_its_cores() -> None:
    count = "\nimport ctypes; print(ctypes.CDLL('libgomp.so.1').omp_get_max_threads())"
    two = "from algoshelf.core.runtime.devices import parse_devices; parse_devices('cpu:2')" + count
    cores = usable_cores()
    assert int(run(two).stdout) == max(1, cores // 2)
    assert int(run(two, OMP_NUM_THREADS="3").stdout) == 3


def test_contexts_have_workspaces_enough_not_to_wait_for_one_another() -> None:
    code = OURS + "import os; print(os.environ['MXNET_CPU_TEMP_COPY'])"
    assert run(code, MXNET_CPU_TEMP_COPY="8").stdout == "8\n"
    environment = {k: v for k, v in os.environ.items() if k != "MXNET_CPU_TEMP_COPY"}
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert found.stdout == "64\n"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python before 3.12 has distutils")
def test_distutils_that_python_3_12_left_out_is_asked_for() -> None:
    code = "import sys; sys.modules['distutils'] = None\n" + OURS
    assert "pip install setuptools" in run(code).stderr


def test_the_import_is_lazy_and_quiet() -> None:
    code = "import sys\nfrom algoshelf.core import mx\nassert 'mxnet' not in sys.modules\n"
    done = run(code + "hasattr(mx, '__wrapped__')\nassert 'mxnet' not in sys.modules\nmx.nd")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    strict = run(OURS, interpreter=(sys.executable, "-W", "error"))
    assert strict.returncode == 0, strict.stderr


@pytest.mark.parametrize("setting", ["banana", "0", "2,2", "99999999999999999999", "²"])
def test_a_number_of_threads_that_mxnet_would_abort_at_is_refused(setting: str) -> None:
    done = run(OURS, OMP_NUM_THREADS=setting)
    assert done.returncode == 1
    assert "OMP_NUM_THREADS: expected a whole number" in done.stderr


def test_an_optimized_python_is_refused() -> None:
    assert "cannot be imported under python -OO" in run(OURS, PYTHONOPTIMIZE="2").stderr


def test_without_mxnet_it_says_what_to_install() -> None:
    done = run("import sys; sys.modules['mxnet'] = None\n" + OURS)
    assert "MissingDependencyError" in done.stderr
    assert "pip install 'algoshelf[cpu]'" in done.stderr


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc, to make a library to load")
def test_the_gpu_wheel_finds_nvidias_libraries_without_ld_library_path(tmp_path: Path) -> None:
    """A stand-in for the library; docs/decisions/0003 tells how the real ones were tried."""
    library = tmp_path / "nvidia" / "cuda_runtime" / "lib" / "libcudart.so.11.0"
    other = library.with_name("libcudart.so.12")
    library.parent.mkdir(parents=True)
    (tmp_path / "empty.c").touch()
    for path in (library, other):
        subprocess.run(["gcc", "-shared", "-o", path, tmp_path / "empty.c"], check=True)
    maps = OURS + "print(open('/proc/self/maps').read())"
    assert library.name not in run(maps, path=str(tmp_path)).stdout
    info = tmp_path / "mxnet_cu112-1.9.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mxnet-cu112\nVersion: 1.9.1\n")
    loaded = run(maps, path=str(tmp_path)).stdout
    assert library.name in loaded
    assert other.name not in loaded


RESIDUAL = """
import mxnet as mx
nn = mx.gluon.nn

class Residual(mx.gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        self.body = nn.HybridSequential()
        self.body.add(nn.Conv2D(16, 3, padding=1), nn.BatchNorm())

    def hybrid_forward(self, F, x):
        return F.relu(self.body(x) + x)

net = nn.HybridSequential()
net.add(nn.Conv2D(16, 3, padding=1), Residual(), nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dense(10))
net.initialize()
net.hybridize()
with mx.autograd.record():
    outputs = net(mx.nd.random.uniform(shape=(16, 3, 8, 8)))
outputs.backward()
outputs.wait_to_read()
mx.nd.waitall()
"""


def test_global_pooling_keeps_batch_normalization_off_the_reference_implementation() -> None:
    def reference(code: str) -> list[str]:
        log = run(code + RESIDUAL, DNNL_VERBOSE="1")
        assert log.returncode == 0, log.stderr
        assert "batch_normalization" in log.stdout
        return re.findall(r"exec,cpu,(?:batch_normalization|pooling_v2),\w*ref:any", log.stdout)

    assert reference("import numpy; numpy.bool = numpy.bool_\n" + PLAIN)
    assert reference(OURS) == []


def test_global_pooling_is_what_it_was() -> None:
    code = """
import mxnet as mx
nn = mx.gluon.nn
x = mx.nd.random.uniform(shape=(2, 3, 5, 4))
for block in (nn.GlobalAvgPool2D(), nn.GlobalMaxPool2D(), nn.MaxPool2D()):
    print(block(x).asnumpy().tobytes().hex(), repr(block))
print(nn.GlobalAvgPool1D()(x.reshape((6, 5, 4))).asnumpy().tobytes().hex())
"""
    plain = run("import numpy; numpy.bool = numpy.bool_\n" + PLAIN + "mxnet.random.seed(1)" + code)
    ours = run(OURS + "mx.random.seed(1)" + code)
    assert ours.stdout == plain.stdout != ""
