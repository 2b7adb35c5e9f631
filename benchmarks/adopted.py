"""Whether models that nobody here wrote answer as artifacts, and as ONNX, as in mxnet itself.

    python adopted.py --foreign DIR --weights FILE --mnist DIR

DIR of --foreign holds public repositories (OWNER/NAME); the record has the SHA-256 of each file
that was taken. Files of parameters that are too large for a clone without LFS get random numbers of
the right shapes, as do the graphs of mxnet's own examples: the record says so. Differences are
those of what goes into the softmax, relative to its largest number; the originals run in mxnet's
Module, or in Gluon where there is no graph. Nothing of the models is kept.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from environment import environment, results_file

EXAMPLES = "cchung100m/incubator-mxnet/example/image-classification/symbols"
MTCNN = "yeyupiaoling/Age-Gender-MXNET/mtcnn-model"
DIGITS = "MentalBlood/mxnet_mnist_evaluation_scripts"
CLASSES = 10


@dataclass(frozen=True)
class Model:
    """``params`` is "" where they are random; ``pixels`` are as Pixels takes them."""

    symbol: str
    params: str
    shape: tuple[int, ...]
    algorithm: str = "image-classification"
    pixels: tuple[Any, ...] = ()
    layer: str = ""
    measured: bool = False


MODELS = {
    "mnist (Gluon, mxnet 1.6)": Model(
        f"{DIGITS}/mnist-symbol.json", f"{DIGITS}/mnist-0035.params", (1, 28, 28), "mnist-cnn",
        (1.0,), measured=True,
    ),
    "lenet (Gluon, mxnet 1.4)": Model(
        "weberlo/fcrc-demo/lenet-symbol.json", "weberlo/fcrc-demo/lenet-0001.params", (1, 28, 28),
        "mnist-cnn", (1.0,), measured=True,
    ),
    "fashion-mnist (Gluon, mxnet 1.6)": Model(
        f"{DIGITS}/fashion-mnist-symbol.json", f"{DIGITS}/fashion-mnist-0039.params", (1, 28, 28),
        "mnist-cnn", (1.0,),
    ),
    "MTCNN's second net (mxnet before 0.9)": Model(
        f"{MTCNN}/det2-symbol.json", f"{MTCNN}/det2-0001.params", (3, 24, 24),
        pixels=(255.0, (127.5,), (128.0,)), layer="prob1",
    ),
    "MTCNN's third net (mxnet before 0.9)": Model(
        f"{MTCNN}/det3-symbol.json", f"{MTCNN}/det3-0001.params", (3, 48, 48),
        pixels=(255.0, (127.5,), (128.0,)), layer="prob1",
    ),
    "SageMaker's image-classification (mxnet 1.3)": Model(
        "ASUCICREPO/tempe-graffiti/image-classification-symbol.json", "", (3, 224, 224)
    ),
    "SqueezeNet v1.2 (mxnet 0.9.3)": Model(
        "miaow1988/SqueezeNet_v1.2/model-symbol.json", "", (3, 224, 224)
    ),
    "age and gender, InsightFace's (mxnet 1.5)": Model(
        "yeyupiaoling/Age-Gender-MXNET/model/model-symbol.json", "", (3, 112, 112)
    ),
}  # fmt: skip
CENTROIDS = (
    "MrAndrew/pca_kmeans_ml", "drdraad/pca-kmeans-segmentation",
    "ahmed-gaal/population-segmentation",
)  # fmt: skip
SHAPE = {"image_shape": "3,224,224"}
# mxnet's own examples, whose graphs the model zoo of old is made of: arguments, side.
ZOO: dict[str, tuple[dict[str, Any], int]] = {
    "alexnet": ({}, 224), "googlenet": ({}, 224), "inception-bn": (SHAPE, 224),
    "inception-resnet-v2": ({}, 299), "inception-v3": ({}, 299), "inception-v4": ({}, 299),
    "lenet": ({}, 64), "mobilenet": ({}, 224), "mobilenetv2": ({}, 224),
    "resnet": ({"num_layers": 18, **SHAPE}, 224), "resnet-v1": ({"num_layers": 18, **SHAPE}, 224),
    "resnext": ({"num_layers": 50, **SHAPE}, 224), "vgg": ({"num_layers": 11}, 64),
}  # fmt: skip


def randomized(symbol: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """A parameter for each variable, by the names that a checkpoint has."""
    from algoshelf.core import mx

    rng = np.random.default_rng(0)
    arguments, _, states = symbol.infer_shape(data=(1, *shape))
    found = {}
    for kind, names, sizes in (
        ("arg", symbol.list_arguments(), arguments),
        ("aux", symbol.list_auxiliary_states(), states),
    ):
        for name, size in zip(names, sizes):
            if name == "data" or name.endswith("label"):
                continue
            if name.endswith(("gamma", "var")):
                values = rng.uniform(0.5, 1.5, size)
            else:
                values = rng.normal(0, np.sqrt(1 / max(1, np.prod(size[1:]))), size)
            found[f"{kind}:{name}"] = mx.nd.array(values)
    return found


def by_module(symbol: Any, held: dict[str, Any], x: np.ndarray, output: str) -> np.ndarray:
    """What the layer gives whose ``output`` is named, by mxnet's Module."""
    from algoshelf.core import mx
    from algoshelf.core.runtime.params import plain

    head = symbol.get_internals()[output]
    values = {plain(name): value for name, value in held.items()}
    labels = [name for name in head.list_arguments() if name.endswith("label")]
    module = mx.mod.Module(head, data_names=["data"], label_names=labels or None)
    module.bind([("data", x.shape)], for_training=False)
    module.set_params(
        {name: values[name] for name in head.list_arguments() if name in values},
        {name: values[name] for name in head.list_auxiliary_states()},
    )
    module.forward(mx.io.DataBatch([mx.nd.array(x)], None), is_train=False)
    found: np.ndarray = module.get_outputs()[0].asnumpy()
    return found.reshape(len(x), -1)


def adopted(files: Any, target: Path, model: Model) -> Any:
    """The model as an artifact of its algorithm: its handlers."""
    from algoshelf.core.artifact import adoption
    from algoshelf.core.artifact.adoption import Pixels
    from algoshelf.core.inference.adopting import adopt
    from algoshelf.core.inference.handlers import Handlers
    from algoshelf.registry.discovery import catalog

    algorithm = catalog().get(model.algorithm).algorithm
    pixels = Pixels(*model.pixels) if model.pixels else None
    found = adoption.read(files, shape=model.shape, layer=model.layer, pixels=pixels)
    adopt(algorithm, found, target)
    return Handlers.load(algorithm, target)


def pictures(shape: tuple[int, ...], algorithm: str) -> np.ndarray:
    rng = np.random.default_rng(1)
    if algorithm == "mnist-cnn":
        return rng.random((5, *shape), np.float32)
    return rng.integers(0, 256, (5, *shape)).astype(np.uint8)


def prepared(x: np.ndarray, model: Model) -> np.ndarray:
    """The pictures as the original takes them."""
    largest, mean, std = (*model.pixels, *(255.0, (0.0,), (1.0,))[len(model.pixels) :])
    white = 1.0 if model.algorithm == "mnist-cnn" else 255.0
    return (x * (largest / white) - np.reshape(mean, (-1, 1, 1))) / np.reshape(std, (-1, 1, 1))


def compared(symbol: Path, params: Path | None, model: Model, scratch: Path) -> dict[str, Any]:
    """How far the adopted model and the original are apart, and the export from the first."""
    from algoshelf.core import mx
    from algoshelf.core.artifact.adoption import Files, upgrade
    from algoshelf.core.tasks.classification import softmax

    mx.load()
    original = mx.sym.load(str(symbol))
    if params is None:
        params = scratch / "random-0000.params"
        mx.nd.save(str(params), randomized(original, model.shape))
    held = mx.nd.load(str(params))
    handlers = adopted(Files(params, symbol), scratch / "m", model)
    x = pictures(model.shape, model.algorithm)
    given = prepared(x, model).astype(np.float32)
    draft = upgrade.read(symbol.read_bytes())
    draft = draft.at(model.layer) if model.layer else draft
    last, inner = (each.nodes[each.heads[0][0]] for each in (draft, draft.logits()))
    found = handlers.model.outputs(x)
    expected = by_module(original, held, given, f"{inner.name}_output")
    whole = by_module(original, held, given, f"{last.name}_output")
    if last is not inner:
        np.testing.assert_allclose(softmax(expected.copy()), whole, rtol=1e-4, atol=1e-6)
    return {
        "difference": _apart(found, expected),
        **exported(handlers, scratch / "m"),
        "sha256": handlers.model.metadata.origin,
    }


def exported(handlers: Any, folder: Path) -> dict[str, Any]:
    """How far onnxruntime is from mxnet with the model's export, or why there is none."""
    from algoshelf.core.artifact import export as onnx
    from algoshelf.core.inference.answers import example_inputs
    from algoshelf.core.runtime.errors import AlgoshelfError

    try:
        artifact = handlers.algorithm.artifact(folder)
        inputs = example_inputs(handlers)
        made = onnx.export(artifact, handlers.model, inputs, folder / "model.onnx")
    except AlgoshelfError as error:
        return {"onnx_refused": str(error).splitlines()[0][:200]}
    return {"onnx": float(made.parity.difference)}


def _apart(found: np.ndarray, expected: np.ndarray) -> float:
    """Relative to the largest number that is expected."""
    return float(np.abs(found.reshape(expected.shape) - expected).max() / np.abs(expected).max())


def of_gluon(weights: Path, scratch: Path) -> dict[str, Any]:
    """MobileNetV2's weights as Gluon saved them, by the name of the network."""
    from algoshelf.algorithms.image_classification import networks
    from algoshelf.core import mx
    from algoshelf.core.artifact import adoption
    from algoshelf.core.artifact.adoption import Files
    from algoshelf.core.inference.adopting import adopt
    from algoshelf.core.inference.handlers import Handlers
    from algoshelf.registry.discovery import catalog

    name = "gluon:mobilenetv2_1.0"
    algorithm = catalog().get("image-classification").algorithm
    adopt(algorithm, adoption.read(Files(weights), network=name), scratch / "m")
    handlers = Handlers.load(algorithm, scratch / "m")
    network = networks.build(name, 1000)
    network.load_parameters(str(weights))
    x = pictures((3, 224, 224), "")
    mean, deviation = (np.reshape(v, (3, 1, 1)) for v in (networks.MEAN, networks.DEVIATION))
    expected = network(mx.nd.array((x / 255 - mean) / deviation)).asnumpy()
    return {
        "difference": _apart(handlers.model.outputs(x), expected),
        **exported(handlers, scratch / "m"),
        "sha256": handlers.model.metadata.origin,
    }


def of_centroids(path: Path, scratch: Path) -> dict[str, Any]:
    """SageMaker's k-means: the distances that the adopted model gives, beside those in float64."""
    from algoshelf.core import mx
    from algoshelf.core.artifact import adoption
    from algoshelf.core.artifact.adoption import Files
    from algoshelf.core.inference.adopting import adopt
    from algoshelf.core.inference.handlers import Handlers
    from algoshelf.registry.discovery import catalog

    algorithm = catalog().get("kmeans").algorithm
    adopt(algorithm, adoption.read(Files(path)), scratch / "m")
    (centroids,) = (each.asnumpy() for each in mx.nd.load(str(path)))
    x = np.random.default_rng(1).normal(size=(1000, centroids.shape[1]))
    exact = np.sqrt(np.square(x[:, None] - centroids.astype(np.float64)).sum(axis=2))
    handlers = Handlers.load(algorithm, scratch / "m")
    found = handlers.predict(x)
    return {
        **exported(handlers, scratch / "m"),
        "sha256": handlers.model.metadata.origin,
        "difference": _apart(found.distances, exact.min(axis=1)),
        "clusters_alike": float((found.clusters == exact.argmin(axis=1)).mean()),
        "k": len(centroids),
    }


def accuracy(folder: Path, data: Path) -> float:
    from algoshelf.registry.discovery import opened

    _, algorithm = opened(folder)
    return float(algorithm.evaluate(algorithm.model_fn(folder), data).metrics["accuracy"])


def of_examples(name: str, folder: Path, scratch: Path) -> dict[str, Any]:
    """A graph that mxnet's own example makes."""
    arguments, side = ZOO[name]
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    symbol = scratch / "zoo-symbol.json"
    module.get_symbol(num_classes=CLASSES, **arguments).save(str(symbol))
    return compared(symbol, None, Model("", "", (3, side, side)), scratch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--foreign", type=Path, required=True, metavar="DIR")
    parser.add_argument("--weights", type=Path, required=True, metavar="FILE")
    parser.add_argument("--mnist", type=Path, required=True, metavar="DIR")
    given = parser.parse_args()
    from algoshelf.core import mx

    mx.load()
    found: dict[str, dict[str, Any]] = {}

    def note(name: str, source: str, weights: str, told: dict[str, Any]) -> None:
        found[name] = {"source": source, "weights": weights, **told}
        print(name, found[name], file=sys.stderr, flush=True)

    for name, model in MODELS.items():
        with tempfile.TemporaryDirectory() as scratch:
            params = given.foreign / model.params if model.params else None
            told = compared(given.foreign / model.symbol, params, model, Path(scratch))
            if model.measured:
                told["accuracy"] = accuracy(Path(scratch, "m"), given.mnist)
            note(name, model.symbol, "its own" if model.params else "random", told)
    for repository in CENTROIDS:
        with tempfile.TemporaryDirectory() as scratch:
            path = given.foreign / repository / "model_algo-1"
            told = of_centroids(path, Path(scratch))
            note(f"SageMaker's k-means, {told['k']} clusters", repository, "its own", told)
    with tempfile.TemporaryDirectory() as scratch:
        told = of_gluon(given.weights, Path(scratch))
        note("MobileNetV2 (Gluon's parameters)", given.weights.name, "its own", told)
    for name in ZOO:
        with tempfile.TemporaryDirectory() as scratch:
            told = of_examples(name, given.foreign / EXAMPLES, Path(scratch))
            note(f"mxnet's example {name}", f"{EXAMPLES}/{name}.py", "random", told)
    document = {"environment": environment(), "models": found}
    results_file("adopted").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
