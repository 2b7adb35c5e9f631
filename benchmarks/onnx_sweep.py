"""Whether each network of image-classification answers in ONNX as it does in mxnet.

    python onnx_sweep.py [NETWORK ...]

All that `algoshelf info image-classification` lists, or those named, with random weights and random
statistics of batch normalization (gamma too, where mxnet does not heed it), for batches of 1 and 5
random pictures. Each in a process of its own; the pictures are small where the network takes them.
What was found before is kept under results/, and a network that stands there is not tried again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from environment import environment, results_file

SMALL = 64  # pixels
BATCHES = (1, 5)
CLASSES = 10
SECONDS = 3600.0  # for one network, on a busy machine
# What is random of a parameter, by the end of its name.
RANGES = {"gamma": (0.5, 1.5), "beta": (-0.5, 0.5), "bias": (-0.1, 0.1)}
STATISTICS = {"running_mean": (-0.5, 0.5), "running_var": (0.5, 1.5)}
# A difference has to be so small a part of how much the answers differ from picture to picture, or
# their agreement proves nothing.
LEAST_PART = 0.01


def found_in_child(name: str) -> dict[str, Any]:
    """What a process of its own finds of the network ``name``."""
    started = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--one", name],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"status": "timed out", "seconds": SECONDS}
    try:
        found = dict(json.loads(done.stdout.strip().splitlines()[-1]))  # after what GluonCV prints
    except (IndexError, ValueError):
        said = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
        found = {"status": "failed", "reason": said[:300]}
    return {**found, "seconds": round(time.monotonic() - started, 1)}


def one(name: str) -> dict[str, Any]:
    """Whether the network agrees, and for what pictures; or why it is refused."""
    from algoshelf.algorithms.image_classification import networks

    try:
        net = networks.normalized(networks.build(name, CLASSES), networks.MEAN, networks.DEVIATION)
        made_for = networks.side(name)
        sides = [SMALL, made_for] if made_for > SMALL else [made_for]
        side = next(side for side in sides if _computes(net, side))
    except Exception as error:  # of GluonCV and mxnet, many kinds
        return {"status": "not in mxnet", "reason": _line(error)}
    rng = np.random.default_rng(1)
    for parameter_name, parameter in net.collect_params().items():
        _randomize(parameter_name, parameter, rng, {**RANGES, **STATISTICS})
    tried: list[dict[str, Any]] = [_compared(net, side, rng)]
    # Numbers that have nothing to do with one another may let a network multiply rounding errors:
    # again with statistics of random pictures, changed at random, and then with a gamma that keeps
    # small what many blocks add up to, as training does.
    for gamma in ((0.5, 1.5), (0.2, 0.6)):
        if tried[-1]["status"] in ("agrees", "not in mxnet"):
            break
        for parameter_name, parameter in net.collect_params().items():
            _randomize(parameter_name, parameter, rng, {**RANGES, "gamma": gamma})
        _measure_statistics(net, side, rng)
        tried.append(_compared(net, side, rng))
    return {**tried[-1], **({"before": tried[:-1]} if len(tried) > 1 else {})}


def _compared(net: Any, side: int, rng: np.random.Generator) -> dict[str, Any]:
    """What comparing the network as it is finds."""
    from algoshelf.core.artifact import export
    from algoshelf.core.artifact.folder import Artifact
    from algoshelf.core.runtime.errors import ExportError

    inputs = [_pictures(rng, count, side) for count in BATCHES]
    with tempfile.TemporaryDirectory() as scratch:
        try:
            write(net, side, Path(scratch))
            artifact = Artifact.open(Path(scratch))
            model = artifact.load()
        except Exception as error:
            return {"status": "not in mxnet", "side": side, "reason": _line(error)}
        outputs = model.outputs(np.asarray(inputs[-1], np.uint8))
        several = outputs if isinstance(outputs, tuple) else (outputs,)
        shards = min(_spread(output) for output in several)
        try:
            compared = export.compared(artifact, model, inputs)
        except ExportError as error:
            return {"status": "refused", "side": side, "reason": str(error)}
    difference = compared.parity.difference
    return {
        "status": "agrees" if difference < LEAST_PART * shards else "proves nothing",
        "side": side,
        "difference": difference,
        "spread": shards,
        "outputs": len(several),
        "bytes": len(compared.content),
    }


def _pictures(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    return rng.integers(0, 256, (count, 3, side, side)).astype(np.uint8)


def _measure_statistics(net: Any, side: int, rng: np.random.Generator) -> None:
    """Statistics of random pictures in place of what the network has, each changed a little."""
    from algoshelf.core import mx

    for _ in range(30):
        with mx.autograd.record(train_mode=True):
            net(mx.nd.array(_pictures(rng, 8, side), dtype=np.uint8))
        mx.nd.waitall()
    for name, parameter in net.collect_params().items():
        values = parameter.data().asnumpy()
        if name.endswith("running_var"):
            parameter.set_data(mx.nd.array(values * rng.uniform(0.7, 1.4, values.shape)))
        if name.endswith("running_mean"):
            parameter.set_data(mx.nd.array(values + rng.uniform(-0.1, 0.1, values.shape)))


def write(net: Any, side: int, folder: Path) -> None:
    """The artifact of ``net`` for pictures (3, side, side) uint8."""
    from algoshelf.core import Example, InputSignature, Metadata
    from algoshelf.core.artifact import folder as artifacts

    metadata = Metadata(
        algorithm="image-classification",
        algorithm_version="1",
        hyperparameters={},
        seed=1,
        input=InputSignature(shape=(0, 3, side, side), dtype="uint8"),
        example=Example(content_type="image/png", body=""),
    )
    net.hybridize()
    _compute(net, side)  # so that mxnet has a graph to write
    artifacts.write(folder, net, metadata)


def _computes(net: Any, side: int) -> bool:
    """Whether ``net`` takes pictures of this size; its parameters are new afterwards."""
    from algoshelf.core import mx

    mx.random.seed(1)
    net.initialize(
        mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2), force_reinit=True
    )
    try:
        _compute(net, side)
    except (mx.base.MXNetError, ValueError):  # too small
        return False
    return True


def _compute(net: Any, side: int) -> None:
    from algoshelf.core import mx

    found = net(mx.nd.zeros((1, 3, side, side), dtype="uint8"))
    for output in found if isinstance(found, (list, tuple)) else [found]:
        output.wait_to_read()


def _randomize(
    name: str, parameter: Any, rng: np.random.Generator, ranges: dict[str, tuple[float, float]]
) -> None:
    from algoshelf.core import mx

    for ending, (least, most) in ranges.items():
        if name.endswith(ending):
            values = rng.uniform(least, most, parameter.shape).astype(np.float32)
            parameter.set_data(mx.nd.array(values))


def _spread(outputs: np.ndarray) -> float:
    """How much the outputs (N, …) differ between examples, relative to the largest of them."""
    scale = float(np.abs(outputs).max())
    return float(np.ptp(outputs, axis=0).max()) / scale if scale else 0.0


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[-1][:300]}"


def main(names: list[str]) -> None:
    if names[:1] == ["--one"]:
        print(json.dumps(one(names[1])))
        return
    from algoshelf.algorithms.image_classification import networks

    path = results_file("onnx_sweep")
    kept = json.loads(path.read_text())["networks"] if path.exists() else {}
    for name in names or networks.NETWORKS:
        if name in kept and not names:
            continue
        kept[name] = found_in_child(name)
        print(name, kept[name], flush=True)
        statuses = [each["status"] for each in kept.values()]
        document = {
            "what": "outputs of onnxruntime and mxnet for batches of 1 and 5 pictures, random "
            "weights; difference relative to the largest output",
            "environment": {
                **environment(),
                **{package: version(package) for package in ("onnx", "onnxruntime")},
            },
            "listed": len(networks.NETWORKS),
            "counts": {status: statuses.count(status) for status in sorted(set(statuses))},
            "networks": {each: kept[each] for each in networks.NETWORKS if each in kept},
        }
        path.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
