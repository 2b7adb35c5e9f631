"""Each operator of mxnet's that has a form in ONNX: onnxruntime computes what mxnet does."""

from __future__ import annotations

import json
from typing import Any, Callable

import numpy as np
import pytest
from algoshelf.core import InputSignature, mx
from algoshelf.core.artifact import onnx_file
from algoshelf.core.artifact.export.conversion import convert
from algoshelf.core.artifact.export.operators import CONVERTERS
from algoshelf.core.artifact.export.parity import difference
from algoshelf.core.runtime import graph as graphs
from algoshelf.core.runtime.operators import OPERATORS

onnxruntime = pytest.importorskip("onnxruntime")
Network = Callable[[Any], Any]

PICTURES, ROWS, SEQUENCES = (0, 4, 9, 8), (0, 6), (0, 5, 4)
# What takes no input but numbers stands between others; indices and lengths are among the input's.
ONE = """
    abs arccos arccosh arcsin arcsinh arctan arctanh ceil cos cosh degrees erf exp floor log log10
    log2 negative radians relu rsqrt sigmoid sign sin sinh softsign sqrt square tan tanh cbrt rcbrt
    reciprocal fix trunc rint round logical_not zeros_like ones_like _contrib_div_sqrt_dim
""".split()  # noqa: SIM905 - a table
SCALARS = sorted(name for name in CONVERTERS if name.endswith("_scalar"))
TWO = sorted(
    name
    for name in CONVERTERS
    if name.startswith(("elemwise_", "broadcast_")) or f"{name}_scalar" in CONVERTERS
    if name not in ("broadcast_axis", "broadcast_to", "broadcast_like")
)


def var(name: str, *shape: int) -> Any:
    return mx.sym.var(name, shape=shape)


def made(name: str) -> Any:
    """mxnet's function that makes a node of this operator."""
    for module in (mx.sym, mx.sym._internal, mx.sym.op):
        if hasattr(module, name):
            return getattr(module, name)
    return getattr(mx.sym.contrib, name.replace("_contrib_", ""))


S = mx.sym
_POOL = {"kernel": (3, 2), "stride": (2, 2), "pad": (1, 1)}
CASES: dict[str, tuple[tuple[int, ...], Network]] = {
    "convolution": (PICTURES, lambda x: S.Convolution(
        x, kernel=(3, 2), num_filter=6, stride=(2, 1), pad=(1, 0), dilate=(1, 2), num_group=2)),
    "convolution of sequences": ((0, 4, 9), lambda x: S.Convolution(
        x, kernel=(3,), num_filter=6, pad=(2,), no_bias=True)),
    "deconvolution": (PICTURES, lambda x: S.Deconvolution(
        x, kernel=(3, 3), num_filter=6, stride=(2, 2), pad=(1, 0), adj=(1, 0), num_group=2)),
    "max pooling": (PICTURES, lambda x: S.Pooling(x, **_POOL)),
    "max pooling, full": (PICTURES, lambda x: S.Pooling(
        x, pooling_convention="full", kernel=(3, 3), stride=(2, 3))),
    "avg pooling": (PICTURES, lambda x: S.Pooling(x, pool_type="avg", **_POOL)),
    "avg pooling, padding left out": (PICTURES, lambda x: S.Pooling(
        x, pool_type="avg", count_include_pad=False, **_POOL)),
    "avg pooling, full": (PICTURES, lambda x: S.Pooling(
        x, pool_type="avg", pooling_convention="full", kernel=(3, 3), stride=(2, 3), pad=(1, 1))),
    "avg pooling, full, padding left out": (PICTURES, lambda x: S.Pooling(
        x, pool_type="avg", pooling_convention="full", count_include_pad=False, kernel=(3, 3),
        stride=(2, 3), pad=(1, 1))),
    "sum pooling": (PICTURES, lambda x: S.Pooling(x, pool_type="sum", **_POOL)),
    **{
        f"global {kind} pooling": (
            PICTURES, lambda x, kind=kind: S.Pooling(x, pool_type=kind, global_pool=True)
        )
        for kind in ("avg", "max", "sum")
    },
    "fully connected": (PICTURES, lambda x: S.FullyConnected(x, num_hidden=3)),
    "fully connected, last axis": (SEQUENCES, lambda x: S.FullyConnected(
        x, num_hidden=3, flatten=False)),
    "batch norm, fixed gamma": (PICTURES, lambda x: S.BatchNorm(x)),
    "batch norm": (PICTURES, lambda x: S.BatchNorm(x, fix_gamma=False, eps=1e-5)),
    "batch norm, last axis": (PICTURES, lambda x: S.BatchNorm(x, fix_gamma=False, axis=-1)),
    "layer norm": (SEQUENCES, lambda x: S.LayerNorm(x, var("gamma", 4), var("beta", 4))),
    "layer norm, axis 1": (SEQUENCES, lambda x: S.LayerNorm(x, axis=1)),
    "group norm": (PICTURES, lambda x: S.GroupNorm(
        x, var("gamma", 2), var("beta", 2), num_groups=2)),
    "instance norm": (PICTURES, lambda x: S.InstanceNorm(x)),
    **{
        f"l2 {mode}": (PICTURES, lambda x, mode=mode: S.L2Normalization(x, mode=mode))
        for mode in ("instance", "channel", "spatial")
    },
    "lrn": (PICTURES, lambda x: S.LRN(x, nsize=3, alpha=0.1)),
    **{
        kind: (ROWS, lambda x, kind=kind: S.Activation(x, act_type=kind))
        for kind in ("relu", "sigmoid", "softrelu", "softsign", "tanh")
    },
    **{
        kind: (PICTURES, lambda x, kind=kind: S.LeakyReLU(x - 0.5, act_type=kind))
        for kind in ("leaky", "prelu", "elu", "selu", "gelu")
    },
    "dropout": (ROWS, lambda x: S.Dropout(x) + 1),
    "softmax": (SEQUENCES, lambda x: S.softmax(x, axis=1, temperature=2.0)),
    "log_softmax": (SEQUENCES, lambda x: S.log_softmax(x)),
    "softmin": (SEQUENCES, lambda x: S.softmin(x)),
    "softmax of lengths": (SEQUENCES, lambda x: S.softmax(
        x, S.cast(S.sum(x, axis=1) * 0.8, "int32"), axis=1, use_length=True)),
    "normalize": ((0, 3, 4, 5), lambda x: S.image.normalize(
        x, mean=(0.1, 0.2, 0.3), std=(1, 2, 3))),
    "to_tensor": ((0, 4, 5, 3), lambda x: S.image.to_tensor(S.cast(x * 200, "uint8"))),
    "bilinear": (PICTURES, lambda x: S.contrib.BilinearResize2D(x, height=5, width=17)),
    "bilinear, half pixels": (PICTURES, lambda x: S.contrib.BilinearResize2D(
        x, height=18, width=16, align_corners=False)),
    "adaptive pooling": (PICTURES, lambda x: S.contrib.AdaptiveAvgPooling2D(
        x, output_size=(4, 3))),
    "adaptive pooling to one": (PICTURES, lambda x: S.contrib.AdaptiveAvgPooling2D(x)),
    "up sampling": (PICTURES, lambda x: S.UpSampling(x, scale=3, sample_type="nearest")),
    "depth_to_space": (PICTURES, lambda x: S.depth_to_space(x, 2)),
    "space_to_depth": ((0, 3, 6, 4), lambda x: S.space_to_depth(x, 2)),
    **{
        f"pad {mode}": (PICTURES, lambda x, mode=mode: S.pad(
            x, mode=mode, constant_value=2, pad_width=(0, 0, 0, 0, 1, 2, 0, 3)))
        for mode in ("constant", "edge", "reflect")
    },
    "embedding, clipped": (ROWS, lambda x: S.Embedding(
        x * 12 - 4, var("table", 5, 3), input_dim=5, output_dim=3)),
    "take": (ROWS, lambda x: S.take(var("table", 5, 3), x * 12 - 4)),
    "take, wrapped": (ROWS, lambda x: S.take(var("table", 3, 5), x * 12 - 4, axis=1, mode="wrap")),
    "pick": (SEQUENCES, lambda x: S.pick(x, S.sum(x, axis=2) * 2, axis=2)),
    "pick, kept": (SEQUENCES, lambda x: S.pick(x, S.sum(x, axis=2) * 2, axis=2, keepdims=True)),
    "one_hot": (ROWS, lambda x: S.one_hot(x * 9 - 3, depth=4, on_value=2, off_value=-1)),
    **{
        f"{mode} {'both ways' * both}": (SEQUENCES, lambda x, mode=mode, both=both: S.RNN(
            S.transpose(x, (1, 0, 2)),
            parameters=var("rnn_parameters", sum(
                (1 + both) * {"gru": 3, "lstm": 4}.get(mode, 1) * 3 * (width + 3 + 2)
                for width in (4, 3 * (1 + both)))),
            state=S.zeros((2 * (1 + both), 0, 3)),
            **({"state_cell": S.zeros((2 * (1 + both), 0, 3))} if mode == "lstm" else {}),
            mode=mode, state_size=3, num_layers=2, bidirectional=both, state_outputs=False))
        for mode in ("rnn_relu", "rnn_tanh", "gru", "lstm")
        for both in (False, True)
    },
    "states of an lstm": ((0, 4, 4), lambda x: S.concat(*S.RNN(
        S.transpose(x, (1, 0, 2)), parameters=var("rnn_parameters", 12 * (4 + 3 + 2)),
        state=S.slice_axis(S.transpose(x, (1, 0, 2)), axis=0, begin=0, end=1).slice_axis(
            axis=2, begin=0, end=3),
        state_cell=S.slice_axis(S.transpose(x, (1, 0, 2)), axis=0, begin=1, end=2).slice_axis(
            axis=2, begin=0, end=3),
        mode="lstm", state_size=3, num_layers=1, state_outputs=True), dim=0)),
    **{
        f"{name}{' of lengths' * lengths}": (
            SEQUENCES,
            lambda x, name=name, lengths=lengths: made(name)(
                S.transpose(x, (1, 0, 2)),
                *([S.sum(x, axis=(1, 2)) / 2] if lengths else []),
                use_sequence_length=lengths,
            ),
        )
        for name in ("SequenceMask", "SequenceReverse", "SequenceLast")
        for lengths in (False, True)
    },
    "SequenceMask, axis 1": (SEQUENCES, lambda x: S.SequenceMask(
        x, S.sum(x, axis=(1, 2)) / 2, use_sequence_length=True, axis=1, value=-7)),
    "SequenceLast, axis 1": (SEQUENCES, lambda x: S.SequenceLast(
        x, S.clip(S.sum(x, axis=(1, 2)) / 2, 1, 5), use_sequence_length=True, axis=1)),
    "reverse": (SEQUENCES, lambda x: S.reverse(x, axis=(1, 2))),
    "Reshape": (PICTURES, lambda x: S.reshape(x, (0, -4, 2, -1, -2))),
    "Reshape, merged": (PICTURES, lambda x: S.reshape(x, (0, -3, -1))),
    "Reshape, of all": (PICTURES, lambda x: S.reshape(x, (-1, 8))),
    "Reshape, as it is": (PICTURES, lambda x: S.reshape(x, (-2,))),
    "reshape_like": (PICTURES, lambda x: S.reshape_like(x, S.transpose(x))),
    "Flatten": (PICTURES, lambda x: S.flatten(x)),
    "transpose": (SEQUENCES, lambda x: S.transpose(x)),
    "SwapAxis": (SEQUENCES, lambda x: S.SwapAxis(x, dim1=1, dim2=2)),
    "expand_dims": (SEQUENCES, lambda x: S.expand_dims(x, axis=-1)),
    "squeeze": ((0, 1, 5, 1), lambda x: S.squeeze(x, axis=(1, 3))),
    "stack": (SEQUENCES, lambda x: S.stack(x, x + 1, axis=-1)),
    "add_n": (SEQUENCES, lambda x: S.add_n(x, x, x)),
    "SliceChannel": (PICTURES, lambda x: S.SliceChannel(x, num_outputs=2)[1]),
    "SliceChannel, squeezed": (PICTURES, lambda x: S.SliceChannel(
        x, num_outputs=4, squeeze_axis=True)[2]),
    "split_v2": (PICTURES, lambda x: S.split_v2(x, (1, 3), axis=1)[1]),
    "slice": (PICTURES, lambda x: S.slice(
        x, begin=(None, 1, 2, -5), end=(None, None, 8, None), step=(1, 1, 2, 3))),
    "slice_axis": (PICTURES, lambda x: S.slice_axis(x, axis=-1, begin=2, end=None)),
    "slice_like": (PICTURES, lambda x: S.slice_like(
        x, S.slice_axis(x, axis=2, begin=0, end=4), axes=(2,))),
    "tile": (SEQUENCES, lambda x: S.tile(x, (1, 2, 1))),
    "repeat": (SEQUENCES, lambda x: S.repeat(x, repeats=3, axis=1)),
    "repeat, last axis": (SEQUENCES, lambda x: S.repeat(x, repeats=2, axis=-1)),
    "broadcast_axis": ((0, 1, 5), lambda x: S.broadcast_axis(x, axis=1, size=3)),
    "broadcast_to": ((0, 1, 5), lambda x: S.broadcast_to(x, (0, 4, 0))),
    "broadcast_like": ((0, 5), lambda x: S.broadcast_like(
        S.expand_dims(x, 2), S.stack(x, x, x, axis=2))),
    **{
        name: (SEQUENCES, lambda x, name=name: made(name)(x, axis=(1, 2)))
        for name in ("max", "mean", "min", "nanprod", "nansum", "prod", "sum", "norm")
    },
    "sum of all but": (SEQUENCES, lambda x: S.sum(x, axis=1, exclude=True, keepdims=True)),
    "norm 1": (SEQUENCES, lambda x: S.norm(x - 0.5, ord=1, axis=2, keepdims=True)),
    "argmax": (SEQUENCES, lambda x: S.argmax(x, axis=1)),
    "argmin": (SEQUENCES, lambda x: S.argmin(x, axis=2, keepdims=True)),
    **{
        f"topk {kind}": (ROWS, lambda x, kind=kind: S.topk(x, k=3, ret_typ=kind))
        for kind in ("value", "indices")
    },
    "topk both, ascending": (ROWS, lambda x: S.concat(
        *S.topk(x, k=2, ret_typ="both", is_ascend=True), dim=1)),
    "sort": (ROWS, lambda x: S.sort(x)),
    "sort, descending": (ROWS, lambda x: S.sort(x, is_ascend=False)),
    "argsort": (ROWS, lambda x: S.argsort(x)),
    "cumsum": (SEQUENCES, lambda x: S.cumsum(x, axis=1)),
    "dot": (ROWS, lambda x: S.dot(x, var("w", 4, 6), transpose_b=True)),
    "batch_dot": (SEQUENCES, lambda x: S.batch_dot(x, x, transpose_a=True)),
    "attention": ((0, 5, 24), lambda x: S.contrib.interleaved_matmul_selfatt_valatt(
        S.transpose(x, (1, 0, 2)),
        S.softmax(S.contrib.interleaved_matmul_selfatt_qk(S.transpose(x, (1, 0, 2)), heads=2)),
        heads=2)),
    "where": (SEQUENCES, lambda x: S.where(x > 0.5, x, -x)),
    "where, of rows": (SEQUENCES, lambda x: S.where(S.sum(x, axis=(1, 2)) > 10, x, -x)),
    "clip": (ROWS, lambda x: S.clip(x, 0.25, 0.75)),
    "cast": (ROWS, lambda x: S.cast(S.cast(x * 9, "int32") + 2, "float32")),
    "hard_sigmoid": (ROWS, lambda x: S.hard_sigmoid(x * 9 - 4)),
    "smooth_l1": (ROWS, lambda x: S.smooth_l1(x - 0.5, scalar=2)),
    "_arange": (ROWS, lambda x: S.broadcast_add(x, S.arange(6))),
    "_full": (ROWS, lambda x: S.broadcast_add(x, S.full((1, 6), 3.5))),
    "_ones": (ROWS, lambda x: S.broadcast_add(x, S.ones((1, 6)))),
    "arange_like": (SEQUENCES, lambda x: S.broadcast_mul(
        S.contrib.arange_like(S.sum(x, axis=2), axis=1, start=2, step=3).expand_dims(0),
        S.sum(x, axis=2))),
    "shape_array": (ROWS, lambda x: S.broadcast_mul(
        x, S.cast(S.slice_axis(S.shape_array(x), axis=0, begin=1, end=2), "float32"))),
    "size_array": (ROWS, lambda x: S.broadcast_mul(x, S.cast(S.size_array(x), "float32"))),
    "_copy": (ROWS, lambda x: S.identity(x)),
    "BlockGrad": (ROWS, lambda x: S.BlockGrad(x)),
    "_rnn_param_concat": (ROWS, lambda x: S.broadcast_add(x, S._internal._rnn_param_concat(
        var("a", 2), var("b", 4), dim=0))),
}  # fmt: skip
for _name in ONE:
    _into = {"arccosh": (1.1, 3)}.get(_name, (-3, 3))
    if _name in ("arccos", "arcsin", "arctanh"):
        _into = (-0.9, 0.9)
    if _name in ("log", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "rcbrt"):
        _into = (0.1, 9)
    CASES[_name] = (
        SEQUENCES,
        lambda x, name=_name, into=_into: made(name)(x * (into[1] - into[0]) + into[0]),
    )
for _name in SCALARS:
    CASES[_name] = (SEQUENCES, lambda x, name=_name: made(name)(_rounded(x), scalar=2.5))
for _name in TWO:
    CASES[_name] = (
        SEQUENCES,
        lambda x, name=_name: made(name)(
            _rounded(x), S.reverse(_rounded(x), axis=1) + int("div" in name)
        ),
    )


def _rounded(x: Any) -> Any:
    """Numbers of halves from 0 to 4, so that some are equal, some 0."""
    return S.floor(x * 9) / 2


def read(symbol: Any) -> graphs.Graph:
    """The graph without what Gluon does not write: attributes of variables, numpy's names."""
    document = json.loads(symbol.tojson().replace("_np_cumsum", "cumsum"))
    for node in document["nodes"]:
        if node["op"] == "null":
            node.pop("attrs", None)
    return graphs.read(json.dumps(document).encode())


def made_by(network: Network) -> Any:
    with mx.name.NameManager():
        return network(mx.sym.var("data"))


@pytest.mark.parametrize("name", CASES)
def test_it_is_computed_as_mxnet_does(name: str) -> None:
    shape, network = CASES[name]
    rng = np.random.default_rng(3)
    symbol = made_by(network)
    states = symbol.list_auxiliary_states()
    sizes, _, of_states = symbol.infer_shape(data=(2, *shape[1:]))
    arrays = {
        key: rng.uniform(0.5, 1.5, size).astype(np.float32)
        for key, size in zip([*symbol.list_arguments(), *states], [*sizes, *of_states])
        if key != "data"
    }
    signature = InputSignature(shape=shape)
    graph = read(symbol)
    file = convert(graph, signature, arrays, {})
    known = {key: (values.shape, str(values.dtype)) for key, values in arrays.items()}
    fit = graph.fit({"data": (signature.one, signature.dtype)}, known)
    judged = onnx_file.checked(file.content, signature, fit)
    session = onnxruntime.InferenceSession(file.content, providers=["CPUExecutionProvider"])
    given = {key: mx.nd.array(values) for key, values in arrays.items()}
    for batch in (2, 1, 5):
        x = rng.random((batch, *shape[1:]), np.float32)
        bound = symbol.bind(
            mx.cpu(),
            {"data": mx.nd.array(x), **{k: v for k, v in given.items() if k not in states}},
            aux_states={key: given[key] for key in states},
            grad_req="null",
        )
        expected = bound.forward()[0].asnumpy()
        (found,) = session.run(None, {"data": x})
        assert difference(found, expected) < 1e-5, (found, expected)
        if batch == 1:
            assert judged.fit.outputs == [found.shape]


def test_every_converter_is_tried() -> None:
    assert set(CONVERTERS) <= set(OPERATORS)
    tried = {"null"}
    for _, network in CASES.values():
        tried |= {node.op for node in read(made_by(network)).nodes}
    assert set(CONVERTERS) - tried == set()
