"""docs/leaving-mxnet.md: its commands make a package of two files that bare mxnet has written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
from algoshelf.core import mx

from tests.conftest import ROOT, Algoshelf
from tests.project.test_docs import blocks

PAGE = ROOT / "docs" / "leaving-mxnet.md"


def write_old_files(folder: Path) -> None:
    """A network with a softmax, as a Module saves it, and the names of its classes."""
    mx.load()
    data = mx.sym.var("data")
    net = mx.sym.Convolution(data, kernel=(3, 3), num_filter=4, name="conv")
    net = mx.sym.BatchNorm(net, name="norm", fix_gamma=False)
    net = mx.sym.Pooling(mx.sym.Activation(net, act_type="relu"), global_pool=True, kernel=(1, 1))
    net = mx.sym.FullyConnected(mx.sym.flatten(net), num_hidden=3, name="dense")
    module = mx.mod.Module(mx.sym.SoftmaxOutput(net, name="softmax"))
    module.bind([("data", (1, 3, 32, 32))], [("softmax_label", (1,))], for_training=False)
    mx.random.seed(3)
    module.init_params(mx.init.Xavier())
    module.save_checkpoint(str(folder / "old"), 10)
    (folder / "classes.txt").write_text("cat\ndog\nbird\n")


def test_five_commands_lead_from_two_files_to_a_container(
    algoshelf: Algoshelf, tmp_path: Path
) -> None:
    commands = [line for block in blocks(PAGE, "bash") for line in block.splitlines()]
    install, *ours, run, ping, ask = commands
    assert install == "pip install 'algoshelf[cpu,onnx]'"
    assert [shlex.split(each)[1] for each in ours] == ["adopt", "export", "package"]
    write_old_files(tmp_path)
    for command in ours:
        name, *arguments = shlex.split(command)
        assert name == "algoshelf"
        done = algoshelf(*arguments)
        assert done.code == 0, f"{command}\n{done.stderr}"
    image = tmp_path / "image"
    dockerfile = (image / "Dockerfile").read_text()
    assert run.endswith(" image)")
    (base,) = re.findall(r"--build-arg BASE=([\w:.-]+)@", run)
    assert f"--build-arg BASE={base}@sha256:" in dockerfile
    assert "EXPOSE 8080" in dockerfile
    assert "-p 8080:8080" in run
    assert ping.endswith(":8080/ping")
    assert "Content-Type: image/png" in ask
    assert {path.name for path in (image / "model").iterdir()} >= {"algorithm.json", "model.onnx"}
    from PIL import Image

    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    answers = [
        algoshelf("predict", folder, "picture.png", "--engine", engine).json
        for folder, engine in (("mine", "mxnet"), (image / "model", "onnx"))
    ]
    by_mxnet, by_onnx = answers
    assert by_onnx["label"] == by_mxnet["label"] in ("cat", "dog", "bird")
    for key, value in by_mxnet["probabilities"].items():
        assert abs(by_onnx["probabilities"][key] - value) <= 1e-5
