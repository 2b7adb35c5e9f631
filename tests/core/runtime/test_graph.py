"""What a model folder may hold, and that nothing else reaches mxnet."""

from __future__ import annotations

import json
import re
import shutil
import struct
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from algoshelf.core import Artifact, ArtifactError, DataError, PluginError, mx
from algoshelf.core.runtime import graph as graphs
from algoshelf.core.runtime import params
from algoshelf.core.runtime.operators import OPERATORS, REQUIRED

from benchmarks import mutated


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(model, tmp_path / "copy"))
    change(folder, "algorithm.json", lambda document: document.update(sha256={}))
    return folder


def change(folder: Path, name: str, how: Callable[[Any], Any]) -> None:
    document = json.loads((folder / name).read_bytes())
    how(document)
    (folder / name).write_text(json.dumps(document))


def refused(folder: Path, match: str) -> None:
    """By the file's name, in one sentence, before mxnet; and by ``check`` as by ``load``."""
    for opening in (lambda: Artifact.open(folder).load(), lambda: Artifact.open(folder).check()):
        with pytest.raises(ArtifactError, match=match) as found:
            opening()
        assert str(folder) in str(found.value)
        assert "Check failed" not in str(found.value)


def node_of(document: Any, op: str) -> Any:
    return next(node for node in document["nodes"] if node["op"] == op)


INNER = {
    "nodes": [{"op": "_Native", "name": "x", "attrs": {"info": "0x123456789000"}, "inputs": []}],
    "arg_nodes": [],
    "heads": [[0, 0, 0]],
}


@pytest.mark.parametrize(
    "how",
    [
        lambda d: node_of(d, "Convolution").update(op="_foreach", subgraphs=[INNER]),
        lambda d: node_of(d, "Activation").update(subgraphs=[INNER]),
        lambda d: node_of(d, "Activation").update(op="_NDArray", attrs={"info": "1"}),
        lambda d: node_of(d, "Convolution").update(attr={"num_group": "0"}),
        lambda d: node_of(d, "Convolution").update(param={"num_group": "0"}),
        lambda d: node_of(d, "Convolution").update(control_deps=[0]),
        lambda d: node_of(d, "Convolution")["attrs"].update(num_group="0"),
        lambda d: node_of(d, "Convolution")["attrs"].update(stride="(0, 0)"),
        lambda d: node_of(d, "Convolution")["attrs"].update(num_filter="99999999999999999999"),
        lambda d: node_of(d, "Convolution")["inputs"][0].__setitem__(1, 7),
        lambda d: node_of(d, "Convolution")["inputs"].pop(),
        lambda d: node_of(d, "Convolution")["inputs"][0].__setitem__(0, len(d["nodes"]) - 1),
        lambda d: node_of(d, "Activation").update(op="SwapAxis", attrs={"dim1": "7"}),
        lambda d: node_of(d, "Activation").update(
            op="SliceChannel", attrs={"num_outputs": "2", "axis": "7"}
        ),
        lambda d: d["heads"].__setitem__(0, [len(d["nodes"]) - 1, 7, 0]),
        lambda d: d["attrs"].update(mxnet_version=["int", 800]),
        lambda d: d["attrs"].update(mxnet_version=["str", "10901"]),
        lambda d: d.update(more=1),
    ],
)
def test_a_graph_that_does_more_than_compute(how: Callable[[Any], Any], copy: Path) -> None:
    change(copy, "model-symbol.json", how)
    refused(copy, r"model-symbol\.json: does not load: ")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"op": "Convolution"', '"op": "_Native", "op": "Convolution"'),
        ('"heads": [[', '"heads": ' + "[" * 100_000 + "[["),
        ('"name": "data"', '"name": NaN'),
        ('"node_row_ptr": [', '"node_row_ptr": [' + "9" * 6000 + ", "),
    ],
)
def test_a_graph_that_two_readers_would_read_differently(old: str, new: str, copy: Path) -> None:
    path = copy / "model-symbol.json"
    text = json.dumps(json.loads(path.read_bytes()))
    path.write_text(text.replace(old, new, 1))
    assert path.read_text() != text
    refused(copy, r"model-symbol\.json: does not load: ")


@pytest.mark.parametrize(
    "shape", [[0, 3, 20000, 20000], [0, 1, 28], [1, 1, 28, 28], [0, 1, 0, 28], [], [0, 1, -28, 28]]
)
def test_a_signature_that_does_not_fit_its_graph(shape: list[int], copy: Path) -> None:
    change(copy, "algorithm.json", lambda d: d["input"].update(shape=shape))
    refused(copy, "model-symbol|algorithm.json: input")


def test_classes_that_do_not_fit_the_outputs(copy: Path) -> None:
    from algoshelf.algorithms.mnist_cnn import MnistCnn

    change(copy, "algorithm.json", lambda d: d["encoding"]["classes"].pop())
    with pytest.raises(ArtifactError, match=r"copy: does not load: .* outputs .* for 9 classes"):
        MnistCnn().model_fn(copy)
    with pytest.raises(ArtifactError, match="9 classes"):
        MnistCnn().check(Artifact.open(copy))


def looked_up(folder: Path, tokens: int) -> Path:
    """An artifact of a table of five rows, whose vocabulary has ``tokens``."""
    from algoshelf.core import Example, InputSignature, Metadata
    from algoshelf.core.artifact import folder as artifact

    network = mx.gluon.nn.HybridSequential(prefix="")
    network.add(mx.gluon.nn.Embedding(5, 3), mx.gluon.nn.Dense(2))
    network.initialize()
    network.hybridize()
    network(mx.nd.zeros((1, 32), dtype="int32"))
    folder.mkdir()
    metadata = Metadata(
        algorithm="x",
        algorithm_version="1",
        hyperparameters={},
        seed=1,
        input=InputSignature(shape=(0, 32), dtype="int32"),
        example=Example(content_type="text/csv", body="1"),
        encoding={"vocabulary": [str(number) for number in range(tokens)]},
    )
    artifact.write(folder, network, metadata)
    return folder


def test_a_vocabulary_that_does_not_fit_its_table(tmp_path: Path) -> None:
    Artifact.open(looked_up(tmp_path / "five", 5)).load()
    for tokens in (4, 6):
        folder = looked_up(tmp_path / str(tokens), tokens)
        refused(folder, rf"vocabulary: has {tokens} tokens, but the network knows 5")


FIELDS = {
    "magic": (0, "<Q", 0x113),
    "too many arrays": (16, "<Q", 2**60),
    "another layout": (24, "<I", 0xF993FAC7),
    "sparse": (28, "<i", 1),
    "axes": (32, "<i", 2**31 - 1),
    "no axes": (32, "<i", 0),
    "a size": (36, "<q", 2**62),
    "a negative size": (36, "<q", -1),
}


@pytest.mark.parametrize("name", FIELDS)
def test_parameters_that_do_not_add_up(name: str, copy: Path) -> None:
    at, layout, value = FIELDS[name]
    path = copy / "model-0000.params"
    content = bytearray(path.read_bytes())
    struct.pack_into(layout, content, at, value)
    path.write_bytes(content)
    refused(copy, r"model-0000\.params: does not load: ")


@pytest.mark.parametrize("name", ["", "a", "arg:data"])
def test_names_of_parameters(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.params"
    mx.nd.save(str(path), {"arg:a": mx.nd.zeros((2,)), "arg:b": mx.nd.zeros((2,))})
    content = path.read_bytes()
    changed = name.encode() if name else b"\xff\xfe"
    last = struct.pack("<Q", 5) + b"arg:b"
    path.write_bytes(content.replace(last, struct.pack("<Q", len(changed)) + changed))
    if name == "arg:data":
        assert set(params.read(path).headers) == {"arg:a", "arg:data"}
        return
    with pytest.raises(params.ParamsError, match=r"not UTF-8|twice"):
        params.read(path)


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "uint8", "int32", "int8", "int64"]
)
def test_what_mxnet_saves_is_read_as_mxnet_reads_it(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "x.params"
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    mx.nd.save(str(path), {"arg:a": mx.nd.array(values, dtype=dtype)})
    (found,) = params.load(path).values()
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found.asnumpy(), values)


def test_weights_that_are_damaged_are_no_fault_of_ours(tmp_path: Path) -> None:
    from algoshelf.algorithms.image_classification import weights

    path = tmp_path / "weights.params"
    path.write_bytes(struct.pack("<QQQ", 0x112, 0, 2**60))
    with pytest.raises(DataError, match=r"weights\.params: not a params file: .* arrays"):
        weights.load(mx.gluon.nn.Dense(2), path, frozenset())


# What mxnet counts by itself, and what its own text on smooth_l1 leaves out.
UNDOCUMENTED = {"num_args", "is_int"}


def test_every_operator_and_attribute_is_mxnets_own() -> None:
    for name, operator in OPERATORS.items():
        found = getattr(mx.sym._internal, name, None) or getattr(mx.sym, name, None)
        found = found or getattr(mx.sym.contrib, name.replace("_contrib_", ""), None)
        found = found or getattr(mx.sym.image, name.replace("_image_", ""), None)
        found = found or getattr(mx.sym.op, name, None)
        assert found is not None, name
        for attribute, (kind, default) in operator.attributes.items():
            if attribute in UNDOCUMENTED:
                continue
            assert attribute in found.__doc__, (name, attribute)
            told = re.search(rf"^{attribute} : .*default=(.*)$", found.__doc__, re.MULTILINE)
            # What a graph leaves out is computed by the default, by mxnet and by other engines.
            if told and default is not REQUIRED and attribute != "workspace":
                text = told[1].strip("'")
                assert _alike(kind, text, default), (name, attribute, text, default)


def _alike(kind: Any, text: str, default: Any) -> bool:
    """Whether mxnet's default is ours: as a flag 0 is False, as a number it is of float32."""
    if default is False and text == "0":
        return True
    if default is not None and not isinstance(default, (bool, tuple, str)):
        return float(text) == pytest.approx(float(default), rel=1e-6)
    return bool(kind(text) == default)


NETWORKS = ["cifar_resnet20_v1", "mobilenetv3_small", "gluon:inceptionv3", "shufflenet_v1"]


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_are_those_that_mxnet_infers(name: str) -> None:
    from algoshelf.algorithms.image_classification import networks

    network = networks.normalized(networks.build(name, 5), networks.MEAN, networks.DEVIATION)
    symbol = network(mx.sym.var("data"))
    side = networks.side(name)
    _same_as_mxnet(symbol, {"data": (2, 3, side, side)})


def test_recurrent_and_attentive_networks_are_inferred_too() -> None:
    from gluonnlp.model import TransformerEncoder

    cell = mx.gluon.rnn.LSTM(4, 2, bidirectional=True)
    cell.initialize()
    _same_as_mxnet(cell(mx.sym.var("data")), {"data": (7, 1, 5)})
    encoder = TransformerEncoder(units=16, hidden_size=32, num_heads=2, num_layers=2, max_length=20)
    encoder.initialize()
    outputs, _ = encoder(mx.sym.var("data"), None, mx.sym.var("lengths"))
    _same_as_mxnet(outputs, {"data": (2, 10, 16), "lengths": (2,)})


def _same_as_mxnet(symbol: Any, inputs: dict[str, tuple[int, ...]]) -> None:
    arguments, outputs, states = symbol.infer_shape(**inputs)
    known = {
        **dict(zip(symbol.list_arguments(), arguments)),
        **dict(zip(symbol.list_auxiliary_states(), states)),
    }
    graph = graphs.read(symbol.tojson().encode())
    fit = graph.fit(
        {name: (shape, "float32") for name, shape in inputs.items()},
        {name: (shape, "float32") for name, shape in known.items() if name not in inputs},
    )
    assert fit.outputs == outputs
    again = mx.sym.load_json(graph.text(fit))
    named = {name: known[name] for name in again.list_arguments()}
    assert again.infer_shape(**named)[1] == outputs


@pytest.mark.parametrize("op", ["SequenceReverse", "SequenceMask", "SequenceLast", "softmax"])
def test_lengths_beyond_a_sequence_are_kept_within_it(op: str) -> None:
    """mxnet reads and writes beside its memory, and ends the process."""
    data, lengths = mx.sym.var("data"), mx.sym.var("lengths")
    x = mx.nd.random.normal(shape=(5, 4, 64))
    if op == "softmax":
        symbol = mx.sym.softmax(data, length=mx.sym.cast(lengths, "int32"), use_length=True)
        given = mx.nd.array([[1e6, -1e6, 3, 64]] * 5)
        sound = mx.nd.array([[64, 0, 3, 64]] * 5)
    else:
        symbol = getattr(mx.sym, op)(data, lengths, use_sequence_length=True)
        given, sound = mx.nd.array([1e6, 5, 3, 2e9]), mx.nd.array([5, 5, 3, 5])
    graph = graphs.read(symbol.tojson().encode())
    inputs = {"data": (x.shape, "float32"), "lengths": (given.shape, "float32")}
    kept = mx.sym.load_json(graph.text(graph.fit(inputs, {})))
    for value in (given, sound):
        bound = kept.bind(mx.cpu(), {"data": x, "lengths": value})
        expected = symbol.bind(mx.cpu(), {"data": x, "lengths": sound})
        np.testing.assert_array_equal(bound.forward()[0].asnumpy(), expected.forward()[0].asnumpy())


def test_a_network_with_another_operator_is_told_before_it_trains(tmp_path: Path) -> None:
    from algoshelf.algorithms.mnist_cnn import SAMPLE, MnistCnn
    from algoshelf.core import Reporter, train

    class Drawing(MnistCnn):
        def network(self, hyperparameters: Any, data: Any) -> Any:
            class Noisy(mx.gluon.HybridBlock):
                def hybrid_forward(self, ops: Any, x: Any) -> Any:
                    return x + ops.random.normal_like(x)

            whole = mx.gluon.nn.HybridSequential()
            whole.add(Noisy(), mx.gluon.nn.Dense(10))
            return whole

    class Heard(Reporter):
        steps = 0

        def step(self, number: int) -> None:
            self.steps = number

    heard = Heard()
    options = MnistCnn.Hyperparameters(epochs=1)
    with pytest.raises(
        PluginError, match=r"_random_normal_like.*is not an operator that a model may contain"
    ):
        train(Drawing(), {"train": SAMPLE}, options, tmp_path / "m", reporter=heard)
    assert heard.steps == 0


def test_mutated_artifacts_are_refused_or_answered(model: Path, iris_model: Path) -> None:
    """Two thousand of five models: benchmarks/mutated.py."""
    found = mutated.run([model, iris_model], 60, seed=3)
    assert [each for each in found["strange"] if " refused: " not in each] == []
    assert sum(found["ended"].values()) == 60


@pytest.mark.parametrize("only", ["parameters", "graph"])
def test_mutated_files_of_others_are_refused_or_adopted(only: str, model: Path) -> None:
    """Two thousand of each: benchmarks/results/mutated-adopted-*.json."""
    found = mutated.run([model], 40, seed=5, only=only, adopts=True)
    assert [each for each in found["strange"] if " refused: " not in each] == []
    assert sum(found["ended"].values()) == 40
