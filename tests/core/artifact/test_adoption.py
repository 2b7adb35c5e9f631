"""Models from elsewhere: as artifacts they answer as mxnet answers by the files that came."""

from __future__ import annotations

import ctypes
import json
import struct
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from algoshelf.algorithms.image_classification import ImageClassification
from algoshelf.algorithms.kmeans import KMeans
from algoshelf.algorithms.mnist_cnn import MnistCnn
from algoshelf.algorithms.text_classification import TextClassification
from algoshelf.core import DataError, InputError, mx
from algoshelf.core.artifact import adoption
from algoshelf.core.artifact.adoption import BGR, Files, Pixels, upgrade
from algoshelf.core.inference.adopting import adopt
from algoshelf.core.runtime import params
from algoshelf.core.runtime.operators import OPERATORS
from algoshelf.core.tasks.classification import softmax

SIDE = 16
CLASSES = 5


def layers(x: Any) -> Any:
    """What the old model zoos are made of, with the defaults of each operator."""
    s = mx.sym
    x = s.BatchNorm(x, name="bn_data")  # fix_gamma is true
    x = s.Convolution(x, num_filter=8, kernel=(3, 3), pad=(1, 1), no_bias=True, name="conv0")
    x = s.BatchNorm(x, fix_gamma=False, eps=2e-5, name="bn0")
    x = s.Activation(x, act_type="relu", name="relu0")
    x = s.LRN(x, nsize=5, alpha=0.01, name="lrn0")
    x = s.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full")
    one = s.Convolution(x, num_filter=8, kernel=(1, 1), num_group=2, name="conv1")
    other = s.LeakyReLU(s.Convolution(x, num_filter=8, kernel=(1, 1), name="conv2"), name="prelu0",
                        act_type="prelu")  # fmt: skip
    x = s.Concat(one + x, other, x * 0.5, name="concat0")
    x = s.L2Normalization(x, mode="channel", name="norm0")
    x = s.InstanceNorm(s.LeakyReLU(x, act_type="rrelu", name="rrelu0")[0], name="norm1")
    x = s.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="avg", name="pool1")
    x = s.Dropout(s.Flatten(x), p=0.5)
    return s.FullyConnected(x, num_hidden=CLASSES, name="fc1")


def save(
    symbol: Any, folder: Path, shape: tuple[int, ...] = (3, SIDE, SIDE), seed: int = 0
) -> Files:
    """A checkpoint of Module's with random parameters."""
    rng = np.random.default_rng(seed)
    arguments, _, states = symbol.infer_shape(data=(1, *shape))
    named = [*zip(symbol.list_arguments(), arguments), *zip(symbol.list_auxiliary_states(), states)]
    values = {
        name: mx.nd.array(rng.uniform(0.3, 1.7, size) if "gamma" in name or "var" in name
                          else rng.normal(0, 0.3, size))
        for name, size in named
        if name != "data" and not name.endswith("label")
    }  # fmt: skip
    states = {name: values.pop(name) for name in symbol.list_auxiliary_states()}
    mx.model.save_checkpoint(str(folder / "old"), 7, symbol, values, states)
    return Files(folder / "old-0007.params", folder / "old-symbol.json")


def original(files: Files, x: np.ndarray) -> np.ndarray:
    """What mxnet's Module gives for ``x``, by the files as they are."""
    assert files.symbol is not None
    symbol = mx.sym.load(str(files.symbol))
    held = {params.plain(name): value for name, value in mx.nd.load(str(files.parameters)).items()}
    labels = [name for name in symbol.list_arguments() if name.endswith("label")]
    module = mx.mod.Module(symbol, data_names=["data"], label_names=labels or None)
    module.bind([("data", x.shape)], for_training=False)
    module.set_params(
        {name: held[name] for name in symbol.list_arguments() if name in held},
        {name: held[name] for name in symbol.list_auxiliary_states()},
    )
    module.forward(mx.io.DataBatch([mx.nd.array(x)], None), is_train=False)
    found: np.ndarray = module.get_outputs()[0].asnumpy()
    return found


def pictures(count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 3, SIDE, SIDE)).astype(np.uint8)


def answers(files: Files, target: Path, x: np.ndarray, **known: Any) -> np.ndarray:
    """The probabilities that the adopted model gives for pictures ``x``."""
    known.setdefault("shape", (3, SIDE, SIDE))
    adopt(ImageClassification(), adoption.read(files, **known), target)
    return softmax(ImageClassification().model_fn(target).outputs(x))


def as_is(document: dict[str, Any]) -> None:
    """As mxnet 1.9 writes it."""


def of_0_9(document: dict[str, Any]) -> None:
    """Attributes are called attr, layers have a place and rates of their own, variables have the
    attributes of their operators.
    """
    document["attrs"]["mxnet_version"] = ["int", 903]
    for node in document["nodes"]:
        node["attr"] = {**node.pop("attrs", {}), "ctx_group": "dev1", "lr_mult": "0.1"}
        if node["op"] == "null":
            node["attr"]["kernel"] = "(3, 3)"
        if node["op"] == "Convolution":
            node["attr"]["weight_wd_mult"] = "0.0"
            node["attr"]["kernel"] = node["attr"]["kernel"].replace(",", "L,").replace(")", "L)")


def of_0_8(document: dict[str, Any]) -> None:
    """No version, no variables for states, attributes of operators are called param."""
    del document["attrs"], document["node_row_ptr"]
    kept = [i for i, n in enumerate(document["nodes"]) if "moving" not in n["name"]]
    places = {old: new for new, old in enumerate(kept)}
    document["nodes"] = [document["nodes"][i] for i in kept]
    for node in document["nodes"]:
        node["inputs"] = [[places[i], o] for i, o, _ in node["inputs"] if i in places]
        node["param"] = node.pop("attrs", {})
        node["backward_source_id"] = -1
        if node["op"] == "elemwise_add":
            node["op"] = "_Plus"
        if node["op"] == "_mul_scalar":
            node["op"] = "_MulScalar"
        if node["op"] == "SoftmaxOutput":
            node["op"] = "Softmax"
    document["arg_nodes"] = [i for i, n in enumerate(document["nodes"]) if n["op"] == "null"]
    document["heads"] = [[places[i], o] for i, o, _ in document["heads"]]


@pytest.mark.parametrize("form", [as_is, of_0_9, of_0_8])
def test_an_old_graph_answers_as_mxnet_answers_by_it(
    form: Callable[[dict[str, Any]], None], tmp_path: Path
) -> None:
    files = save(mx.sym.SoftmaxOutput(layers(mx.sym.var("data")), name="softmax"), tmp_path)
    assert files.symbol is not None
    document = json.loads(files.symbol.read_text())
    form(document)
    files.symbol.write_text(json.dumps(document))
    x = pictures()
    found = answers(files, tmp_path / "m", x)
    np.testing.assert_allclose(found, original(files, x), rtol=1e-4, atol=1e-6)
    assert found.max() < 0.99, "nothing can be told apart in what is certain"


def pooled(x: Any) -> Any:
    return mx.sym.reshape(x, (0, 0, 1, 1))


HEADS: dict[str, Callable[[Any], Any]] = {
    "SoftmaxOutput (N, C, 1, 1)": lambda x: mx.sym.SoftmaxOutput(pooled(x), multi_output=True),
    "SoftmaxOutput of all numbers": lambda x: mx.sym.SoftmaxOutput(pooled(x)),
    "SoftmaxActivation": lambda x: mx.sym.SoftmaxActivation(x),
    "softmax": lambda x: mx.sym.softmax(x),
    "softmax at a temperature": lambda x: mx.sym.softmax(x, temperature=3.0),
    "log_softmax": lambda x: mx.sym.log_softmax(x, axis=1),
    "logits": lambda x: x,
    "LinearRegressionOutput": lambda x: mx.sym.LinearRegressionOutput(x),
    "SVMOutput": lambda x: mx.sym.SVMOutput(x),
    "BlockGrad": lambda x: mx.sym.BlockGrad(mx.sym.softmax(x)),
}


@pytest.mark.parametrize("name", HEADS)
def test_whatever_it_ends_in_its_probabilities_are_the_same(name: str, tmp_path: Path) -> None:
    flat = mx.sym.FullyConnected(mx.sym.var("data") * 0.01, num_hidden=CLASSES, name="fc")
    files = save(HEADS[name](flat), tmp_path)
    x = pictures()
    expected = original(files, x).reshape(len(x), CLASSES)
    if name == "SoftmaxOutput of all numbers":  # oneDNN's goes along the last axis, of one number
        flat.save(str(files.symbol))
        expected = softmax(original(files, x))
    elif name in ("logits", "LinearRegressionOutput", "SVMOutput"):
        expected = softmax(expected)
    elif name == "log_softmax":
        expected = np.exp(expected)
    np.testing.assert_allclose(answers(files, tmp_path / "m", x), expected, rtol=1e-4, atol=1e-6)


def channels(*numbers: float) -> np.ndarray:
    return np.reshape(numbers, (3, 1, 1))


MEAN, STD = (123.7, 116.8, 103.9), (58.4, 57.1, 57.4)


@pytest.mark.parametrize(
    ("pixels", "prepared"),
    [
        (Pixels(), lambda x: x),
        (Pixels(255, MEAN, STD), lambda x: (x - channels(*MEAN)) / channels(*STD)),
        (Pixels(1, (0.5,)), lambda x: x / 255 - 0.5),
        (Pixels(1, (), (0.2, 0.3, 0.4)), lambda x: x / 255 / channels(0.2, 0.3, 0.4)),
        (Pixels(255, (1.0, 2.0, 3.0), (), BGR), lambda x: x[:, ::-1] - channels(1, 2, 3)),
    ],
)
def test_pictures_are_prepared_as_in_training(
    pixels: Pixels, prepared: Callable[[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    net = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=CLASSES, name="fc")
    files = save(mx.sym.SoftmaxOutput(net * 0.001, name="softmax"), tmp_path)
    x = pictures()
    expected = original(files, prepared(x.astype(np.float64)).astype(np.float32))
    found = answers(files, tmp_path / "m", x, pixels=pixels)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_gluons_export_is_adopted(tmp_path: Path) -> None:
    net = mx.gluon.model_zoo.vision.mobilenet0_25(classes=CLASSES)
    net.initialize(mx.init.Xavier())
    net.hybridize()
    x = np.random.default_rng(1).integers(0, 256, (2, 3, 64, 64)).astype(np.uint8)
    expected = softmax(net(mx.nd.array(x)).asnumpy())
    net.export(str(tmp_path / "net"), epoch=3)
    files = Files(tmp_path / "net-0003.params", tmp_path / "net-symbol.json")
    found = answers(files, tmp_path / "m", x, shape=(3, 64, 64))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    made = ImageClassification().model_fn(tmp_path / "m").metadata
    assert made.epoch == 3
    assert set(made.origin) == {"net-0003.params", "net-symbol.json"}
    assert made.hyperparameters == {"image_size": 64}


@pytest.mark.parametrize("name", ["cifar_resnet20_v2", "gluon:mobilenetv2_0.25"])
def test_parameters_alone_are_adopted_by_the_name_of_their_network(
    name: str, tmp_path: Path
) -> None:
    from algoshelf.algorithms.image_classification import networks

    net = networks.build(name, CLASSES)
    net.initialize(mx.init.Xavier())
    side = networks.side(name)
    x = np.random.default_rng(1).integers(0, 256, (2, 3, side, side)).astype(np.uint8)
    mean, std = (np.reshape(each, (3, 1, 1)) for each in (networks.MEAN, networks.DEVIATION))
    expected = softmax(net(mx.nd.array((x / 255 - mean) / std)).asnumpy())
    net.save_parameters(str(tmp_path / "net.params"))
    found = answers(Files(tmp_path / "net.params"), tmp_path / "m", x, shape=(), network=name)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    with pytest.raises(
        DataError,
        match=r"net\.params: (holds no output layer of the network vgg11|has no matching weights)",
    ):
        answers(Files(tmp_path / "net.params"), tmp_path / "n", x, shape=(), network="vgg11")
    with pytest.raises(InputError, match=r"no such network: .resnet18_v3..*did you mean"):
        answers(Files(tmp_path / "net.params"), tmp_path / "n", x, shape=(), network="resnet18_v3")


def test_digits_are_recognized_by_a_network_of_someone_else(tmp_path: Path) -> None:
    net = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=10, name="fc")
    files = save(mx.sym.SoftmaxOutput(net, name="softmax"), tmp_path, (1, 28, 28))
    adopt(MnistCnn(), adoption.read(files, pixels=Pixels(255, (33.0,))), tmp_path / "m")
    x = np.random.default_rng(1).random((2, 1, 28, 28), np.float32)
    found = softmax(MnistCnn().model_fn(tmp_path / "m").outputs(x))
    np.testing.assert_allclose(found, original(files, x * 255 - 33), rtol=1e-3, atol=1e-6)
    with pytest.raises(InputError, match=r"--input-shape: mnist-cnn reads pictures \(1, 28, 28\)"):
        adopt(MnistCnn(), adoption.read(files, shape=(3, 28, 28)), tmp_path / "n")


def test_centroids_of_sagemakers_k_means_are_adopted(tmp_path: Path) -> None:
    """A list of one array, as its model_algo-1 is: several of them lie in public repositories."""
    centroids = np.random.default_rng(0).normal(size=(8, 7)).astype(np.float32)
    mx.nd.save(str(tmp_path / "model_algo-1"), [mx.nd.array(centroids)])
    adopt(KMeans(), adoption.read(Files(tmp_path / "model_algo-1")), tmp_path / "m")
    x = np.random.default_rng(1).normal(size=(20, 7))
    found = KMeans().predict_fn(x, KMeans().model_fn(tmp_path / "m"))
    distances = np.sqrt(np.square(x[:, None] - centroids).sum(axis=2))
    np.testing.assert_array_equal(found.clusters, distances.argmin(axis=1))
    np.testing.assert_allclose(found.distances, distances.min(axis=1), rtol=1e-5)
    with pytest.raises(InputError) as refused:
        adopt(
            KMeans(),
            adoption.read(Files(tmp_path / "model_algo-1"), shape=(3, 2, 2), classes=("a",)),
            tmp_path / "n",
        )
    assert len(refused.value.faults) == 2


def test_the_graph_may_say_what_pictures_it_takes(tmp_path: Path) -> None:
    data = mx.sym.var("pictures", shape=(0, 3, SIDE, SIDE))
    net = mx.sym.FullyConnected(data, num_hidden=CLASSES, name="fc")
    values = {"fc_weight": mx.nd.ones((CLASSES, 3 * SIDE**2)), "fc_bias": mx.nd.ones((CLASSES,))}
    mx.model.save_checkpoint(str(tmp_path / "old"), 7, net, values, {})
    files = Files(tmp_path / "old-0007.params", tmp_path / "old-symbol.json")
    assert adoption.read(files).shape == (3, SIDE, SIDE)
    found = answers(files, tmp_path / "m", pictures(), shape=())
    np.testing.assert_allclose(found, np.full((3, CLASSES), 1 / CLASSES), rtol=1e-5)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    files = save(mx.sym.SoftmaxOutput(layers(mx.sym.var("data")), name="softmax"), tmp_path)
    for name in ("a", "b"):
        answers(files, tmp_path / name, pictures())
    for file in ("model-symbol.json", "model-0000.params", "algorithm.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_layer_may_be_chosen(tmp_path: Path) -> None:
    net = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=CLASSES, name="fc")
    two = mx.sym.Group([mx.sym.softmax(net, name="one"), mx.sym.softmax(-net, name="two")])
    files = save(two, tmp_path)
    x = pictures()
    with pytest.raises(DataError, match="gives 2 outputs: choose one with --output-layer"):
        answers(files, tmp_path / "m", x)
    found = answers(files, tmp_path / "m", x, layer="two_output")
    mx.sym.softmax(-net, name="two").save(str(files.symbol))
    np.testing.assert_allclose(found, original(files, x), rtol=1e-4, atol=1e-6)
    with pytest.raises(DataError, match=r"no layer of the name 'three': .*last ones are .*'two'"):
        answers(files, tmp_path / "n", x, layer="three")


def refused(files: Files, tmp_path: Path, pattern: str, **known: Any) -> None:
    with pytest.raises(InputError, match=pattern):
        answers(files, tmp_path / "refused", pictures(), **known)
    assert not (tmp_path / "refused").exists()


def test_what_does_not_fit_is_refused_with_what_to_do(tmp_path: Path) -> None:
    net = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=CLASSES, name="fc")
    files = save(mx.sym.SoftmaxOutput(net, name="softmax"), tmp_path)
    refused(files, tmp_path, r"--classes: names 2 classes, .* has 5 outputs", classes=("a", "b"))
    refused(files, tmp_path, r"expected 3,SIDE,SIDE .* got 1,16,16", shape=(1, SIDE, SIDE))
    refused(files, tmp_path, r"it is not known", shape=())
    refused(files, tmp_path, r"node 'fc', FullyConnected: takes weights", shape=(3, 20, 20))
    refused(files, tmp_path, r"--mean: has 2 numbers", pixels=Pixels(1.0, (0.5, 0.5)))
    refused(Files(files.parameters), tmp_path, "give --symbol.*or --network")
    mx.sym.LogisticRegressionOutput(net, name="softmax").save(str(files.symbol))
    refused(files, tmp_path, "ends in a sigmoid")
    mx.sym.SoftmaxOutput(layers(mx.sym.var("data")), name="softmax").save(str(files.symbol))
    refused(files, tmp_path, r"old-0007\.params: has no parameters for 18 variables .*and 15 more")
    with pytest.raises(InputError, match="text-classification takes no models from elsewhere"):
        adopt(TextClassification(), adoption.read(files), tmp_path / "refused")


DEADLY = [
    ("_Native", {"info": "0x123456789000"}),
    ("Custom", {"op_type": "x"}),
    ("_cvimread", {"filename": "/etc/passwd"}),
    ("_foreach", {}),
    ("Pooling", {"kernel": "(0, 0)"}),
    ("Convolution", {"kernel": "(3, 3)", "num_filter": "8", "num_group": "0"}),
]


@pytest.mark.parametrize(("op", "attributes"), DEADLY)
@pytest.mark.parametrize("key", ["attrs", "attr", "param"])
def test_operators_are_held_against_the_list(
    op: str, attributes: dict[str, str], key: str, tmp_path: Path
) -> None:
    files = save(layers(mx.sym.var("data")), tmp_path)
    assert files.symbol is not None
    document = json.loads(files.symbol.read_text())
    document["nodes"][-1].pop("attrs")
    document["nodes"][-1].update({"op": op, key: attributes})
    files.symbol.write_text(json.dumps(document))
    refused(files, tmp_path, r"old-symbol\.json: node ")


MALFORMED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a subgraph": lambda d: d["nodes"][1].update(subgraphs=[{"nodes": []}]),
    "an input that comes later": lambda d: d["nodes"][-1].update(inputs=[[999, 0, 0]]),
    "no such output": lambda d: d["nodes"][-1]["inputs"][0].__setitem__(1, 7),
    "two meanings": lambda d: d["nodes"][-1].update(attr={"num_hidden": "6"}),
    "no text": lambda d: d["nodes"][-1].update(attrs={"num_hidden": 5}),
    "a later mxnet": lambda d: d.update(attrs={"mxnet_version": ["int", 20000]}),
    "no heads": lambda d: d.update(heads=[]),
    "a number for a node": lambda d: d["nodes"].append(7),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_graphs_that_are_none(name: str, tmp_path: Path) -> None:
    files = save(layers(mx.sym.var("data")), tmp_path)
    assert files.symbol is not None
    document = json.loads(files.symbol.read_text())
    MALFORMED[name](document)
    files.symbol.write_text(json.dumps(document))
    refused(files, tmp_path, r"old-symbol\.json: ")


def test_all_that_is_wrong_with_both_files_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    (tmp_path / "x.params").write_bytes(struct.pack("<QQQ", 0x112, 0, 2**60))
    with pytest.raises(DataError) as found:
        adoption.read(Files(tmp_path / "x.params", tmp_path / "x.json"))
    assert [fault.split(": ")[0][-6:] for fault in found.value.faults] == ["x.json", "params"]


# What mxnet computes by an operator of its own, with the same result in a model that answers.
ALIKE = {
    "BatchNorm_v1", "Convolution_v1", "CuDNNBatchNorm", "IdentityAttachKLSparseReg", "MakeLoss",
    "make_loss",
}  # fmt: skip


@pytest.mark.parametrize("old", sorted(upgrade.RENAMED.keys() - ALIKE))
def test_old_names_are_those_of_mxnet(old: str) -> None:
    mx.load()
    library = mx.base._LIB
    handle, name = ctypes.c_void_p(), ctypes.c_char_p()
    assert library.NNGetOpHandle(old.encode(), ctypes.byref(handle)) == 0
    assert library.MXSymbolGetAtomicSymbolName(handle, ctypes.byref(name)) == 0
    assert name.value is not None
    assert name.value.decode() == upgrade.RENAMED[old]
    assert upgrade.RENAMED[old] in {*OPERATORS, "SoftmaxOutput"}
