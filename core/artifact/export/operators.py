"""Each operator of mxnet's by those of ONNX: a function an operator, from a Call to its outputs.

What mxnet does where ONNX does otherwise is written out: indices beyond a table are clipped, a
batch normalization with ``fix_gamma`` has a gamma of 1 whatever the file says, comparisons give
numbers, a reduction of everything has one axis, half is rounded away from 0.
"""

from __future__ import annotations

import math
from typing import Any, Callable, List, Sequence, Union

import numpy as np

from ...runtime import shapes
from ...runtime.operators import OPERATORS
from ...runtime.shapes import GATES
from ...runtime.types import Array
from .builder import Call, Dims, Unsupported

Converter = Callable[[Call], Union[str, List[str]]]
CONVERTERS: dict[str, Converter] = {}
TO_THE_END = 2**63 - 1


def converts(*names: str) -> Callable[[Converter], Converter]:
    """Adds a function to CONVERTERS under the ``names`` of mxnet's operators."""

    def add(function: Converter) -> Converter:
        CONVERTERS.update(dict.fromkeys(names, function))
        return function

    return add


def axis_of(axis: int, dims: Dims) -> int:
    """The axis counted from the first, whichever way it is given."""
    return shapes.axis_of(axis, (1,) * len(dims))


def axes_of(axes: Any, dims: Dims) -> list[int]:
    """The axes named, or all where none is."""
    return shapes.axes_of(axes, (1,) * len(dims))


# Layers with weights


def _spatial(x: Call, name: str, default: int) -> list[int]:
    return list(x.a[name] or (default,) * len(x.a["kernel"]))


def _of_kernel(x: Call) -> dict[str, Any]:
    """What the attributes of Convolution and Deconvolution are to ONNX."""
    return {
        "kernel_shape": list(x.a["kernel"]),
        "strides": _spatial(x, "stride", 1),
        "dilations": _spatial(x, "dilate", 1),
        "pads": _spatial(x, "pad", 0) * 2,
        "group": x.a["num_group"],
    }


@converts("Convolution")
def convolution(x: Call) -> str:
    return x("Conv", *x.ins, **_of_kernel(x))


@converts("Deconvolution")
def deconvolution(x: Call) -> str:
    return x("ConvTranspose", *x.ins, **_of_kernel(x), output_padding=_spatial(x, "adj", 0))


@converts("FullyConnected")
def fully_connected(x: Call) -> str:
    data, weight, *bias = x.ins
    if x.a["flatten"] or len(x.shapes[0]) == 2:
        flat = data if len(x.shapes[0]) == 2 else x("Flatten", data, axis=1)
        return x("Gemm", flat, weight, *bias, transB=1)
    known = x.known(weight)  # what is computed of it is kept beside it: it is turned beforehand
    turned = x("Transpose", weight, perm=[1, 0]) if known is None else x.array(known.T)
    product = x("MatMul", data, turned)
    return x("Add", product, *bias) if bias else product


@converts("Embedding")
def embedding(x: Call) -> str:
    return x("Gather", x.ins[1], _within(x, x.ins[0], x.static(1, 0), "clip"), axis=0)


def _within(x: Call, indices: str, size: int, mode: str) -> str:
    """Indices of any dtype as int64 from 0 to ``size`` - 1."""
    whole = x.cast(indices, "int64")
    if mode == "wrap":
        return x("Mod", whole, x.array(size, "int64"))
    return x("Clip", whole, x.array(0, "int64"), x.array(size - 1, "int64"))


# Normalizations


@converts("BatchNorm")
def batch_norm(x: Call) -> str:
    data, gamma, beta, mean, variance = x.ins
    if x.a["fix_gamma"]:
        gamma = x.array(np.ones(x.static(1, 0)), x.dtypes[1])
    axis = axis_of(x.a["axis"], x.shapes[0])
    if axis == 1:
        return x("BatchNormalization", data, gamma, beta, mean, variance, epsilon=float(x.a["eps"]))
    scale = x("Div", gamma, x("Sqrt", x("Add", variance, x.array(x.a["eps"], x.dtypes[4]))))
    shift = x("Sub", beta, x("Mul", mean, scale))
    return x("Add", x("Mul", data, _along(x, scale, axis)), _along(x, shift, axis))


def _along(x: Call, vector: str, axis: int) -> str:
    """A vector as long as an axis of the input, so that it is repeated over all others."""
    sizes = [1] * len(x.shapes[0])
    sizes[axis] = -1
    return x("Reshape", vector, x.ints(*sizes))


def _standardized(x: Call, data: str, axes: Sequence[int]) -> str:
    """``data`` less its mean over ``axes``, divided by its deviation there."""
    apart = x("Sub", data, x("ReduceMean", data, axes=list(axes)))
    variance = x("ReduceMean", x("Mul", apart, apart), axes=list(axes))
    return x("Div", apart, x("Sqrt", x("Add", variance, x.array(x.a["eps"]))))


@converts("LayerNorm")
def layer_norm(x: Call) -> str:
    axis = axis_of(x.a["axis"], x.shapes[0])
    scaled = x("Mul", _standardized(x, x.ins[0], [axis]), _along(x, x.ins[1], axis))
    return x("Add", scaled, _along(x, x.ins[2], axis))


@converts("InstanceNorm")
def instance_norm(x: Call) -> str:
    whole = range(2, len(x.shapes[0]))
    scaled = x("Mul", _standardized(x, x.ins[0], whole), _along(x, x.ins[1], 1))
    return x("Add", scaled, _along(x, x.ins[2], 1))


@converts("GroupNorm")
def group_norm(x: Call) -> str:
    """Gamma and beta are one number a group, as mxnet has them."""
    groups = x("Reshape", x.ins[0], x.ints(0, x.a["num_groups"], -1))
    gamma, beta = (x("Reshape", name, x.ints(1, -1, 1)) for name in x.ins[1:])
    scaled = x("Add", x("Mul", _standardized(x, groups, [2]), gamma), beta)
    return x("Reshape", scaled, x("Shape", x.ins[0]))


@converts("L2Normalization")
def l2_normalization(x: Call) -> str:
    rank = len(x.shapes[0])
    axes = {"instance": range(1, rank), "channel": range(1, 2), "spatial": range(2, rank)}
    total = _sum(x, x("Mul", x.ins[0], x.ins[0]), axes[x.a["mode"]])
    return x("Div", x.ins[0], x("Sqrt", x("Add", total, x.array(x.a["eps"]))))


@converts("LRN")
def local_response(x: Call) -> str:
    a = x.a
    return x(
        "LRN",
        x.ins[0],
        alpha=float(a["alpha"]),
        beta=float(a["beta"]),
        bias=float(a["knorm"]),
        size=int(a["nsize"]),
    )


@converts("_image_normalize")
def image_normalize(x: Call) -> str:
    mean, deviation = (np.reshape(x.a[name], (-1, 1, 1)) for name in ("mean", "std"))
    apart = x("Sub", x.ins[0], x.array(mean, "float32"))
    return x("Div", apart, x.array(deviation, "float32"))


@converts("_image_to_tensor")
def image_to_tensor(x: Call) -> str:
    first = list(range(len(x.shapes[0]) - 3))
    moved = x("Transpose", x.ins[0], perm=[*first, *(len(first) + i for i in (2, 0, 1))])
    return x("Div", x.cast(moved, "float32"), x.array(255, "float32"))


# Pooling and resizing


@converts("Pooling")
def pooling(x: Call) -> str:
    kind, rank = x.a["pool_type"], len(x.shapes[0])
    if x.a["global_pool"]:
        if kind == "sum":
            return _sum(x, x.ins[0], range(2, rank))
        return x({"avg": "GlobalAveragePool", "max": "GlobalMaxPool"}[kind], x.ins[0])
    kernel, strides, pads = list(x.a["kernel"]), _spatial(x, "stride", 1), _spatial(x, "pad", 0)
    more = _overhang(x, kernel, strides, pads)
    ends = [pad + extra for pad, extra in zip(pads, more)]
    data, around = x.ins[0], [*pads, *ends]
    included = kind == "sum" or x.a["count_include_pad"] is not False
    counts = _counts(x, kernel, strides, pads, included) if kind == "avg" and any(more) else None
    if any(end >= k for end, k in zip(ends, kernel)):  # onnxruntime pools no more than a kernel
        fill = np.finfo(x.dtype).min if kind == "max" else 0
        data = x("Pad", data, x.ints(0, 0, *pads, 0, 0, *ends), x.array(fill))
        around = [0] * len(around)
    where = {"kernel_shape": kernel, "strides": strides, "pads": around}
    if kind == "max":
        return x("MaxPool", data, **where)
    mean = x("AveragePool", data, **where, count_include_pad=int(included or counts is not None))
    if kind == "sum":
        return x("Mul", mean, x.array(math.prod(kernel)))
    if counts is not None:
        return x("Mul", mean, x.array(math.prod(kernel) / counts))
    return mean


def _overhang(x: Call, kernel: list[int], strides: list[int], pads: list[int]) -> list[int]:
    """By how much the last window goes beyond the padding of each axis."""
    if x.a["pooling_convention"] != "full" or all(step == 1 for step in strides):
        return [0] * len(kernel)
    sizes = [x.static(0, axis) for axis in range(2, len(x.shapes[0]))]
    return [
        -(-(size + 2 * pad - k) // step) * step + k - (size + 2 * pad)
        for size, k, step, pad in zip(sizes, kernel, strides, pads)
    ]


def _counts(
    x: Call, kernel: list[int], strides: list[int], pads: list[int], included: bool
) -> Array:
    """How many places of the input each window holds, and of its padding if that is ``included``.

    What hangs over the padding is never counted. (…) of the output's size.
    """
    counts = np.ones(())
    for axis, (k, step, pad) in enumerate(zip(kernel, strides, pads), 2):
        size = x.static(0, axis)
        least, most = (-pad, size + pad) if included else (0, size)
        starts = np.arange(int(x.outs[0][axis])) * step - pad  # type: ignore[arg-type]
        counts = counts[..., None] * (np.minimum(starts + k, most) - np.maximum(starts, least))
    return np.maximum(counts, 1)


@converts("_contrib_AdaptiveAvgPooling2D")
def adaptive_pooling(x: Call) -> str:
    """Means over parts of each axis, by a matrix of shares."""
    sizes = x.a["output_size"] or (1,)
    height, width = sizes[0], sizes[-1]
    if height == width == 1:
        return x("GlobalAveragePool", x.ins[0])
    rows = _shares(height, x.static(0, 2))
    columns = _shares(width, x.static(0, 3))
    return x("MatMul", x.array(rows), x("MatMul", x.ins[0], x.array(columns.T)))


def _shares(parts: int, size: int) -> Array:
    shares = np.zeros((parts, size))
    for part in range(parts):
        start, end = part * size // parts, -(-(part + 1) * size // parts)
        shares[part, start:end] = 1 / (end - start)
    return shares


@converts("_contrib_BilinearResize2D")
def bilinear_resize(x: Call) -> str:
    first = x("Slice", x("Shape", x.ins[0]), x.ints(0), x.ints(2))
    sizes = x("Concat", first, x.ints(x.a["height"], x.a["width"]), axis=0)
    places = "align_corners" if x.a["align_corners"] else "half_pixel"
    return x(
        "Resize", x.ins[0], "", "", sizes, mode="linear", coordinate_transformation_mode=places
    )


@converts("UpSampling")
def up_sampling(x: Call) -> str:
    scales = x.array([1, 1, x.a["scale"], x.a["scale"]], "float32")
    return x(
        "Resize",
        x.ins[0],
        "",
        scales,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


@converts("depth_to_space")
def depth_to_space(x: Call) -> str:
    return x("DepthToSpace", x.ins[0], blocksize=x.a["block_size"], mode="DCR")


@converts("space_to_depth")
def space_to_depth(x: Call) -> str:
    return x("SpaceToDepth", x.ins[0], blocksize=x.a["block_size"])


@converts("Pad")
def pad(x: Call) -> str:
    widths = x.a["pad_width"]
    value = [x.array(x.a["constant_value"])] if x.a["mode"] == "constant" else []
    return x("Pad", x.ins[0], x.ints(*widths[::2], *widths[1::2]), *value, mode=x.a["mode"])


# Activations


@converts("Activation")
def activation(x: Call) -> str:
    names = {
        "relu": "Relu",
        "sigmoid": "Sigmoid",
        "softrelu": "Softplus",
        "softsign": "Softsign",
        "tanh": "Tanh",
    }
    return x(names[x.a["act_type"]], x.ins[0])


@converts("LeakyReLU")
def leaky_relu(x: Call) -> str:
    kind, data = x.a["act_type"], x.ins[0]
    if kind == "leaky":
        return x("LeakyRelu", data, alpha=float(x.a["slope"]))
    if kind == "elu":
        return x("Elu", data, alpha=float(x.a["slope"]))
    if kind == "selu":
        return x("Selu", data)
    if kind == "prelu":
        behind = [1] * (len(x.shapes[0]) - 2)
        return x("PRelu", data, x("Reshape", x.ins[1], x.ints(-1, *behind)))
    bent = x("Erf", x("Div", data, x.array(math.sqrt(2))))
    return x("Mul", x("Mul", data, x.array(0.5)), x("Add", bent, x.array(1)))


@converts("softmax", "log_softmax", "softmin")
def softmax(x: Call) -> str:
    data, axis = x.ins[0], axis_of(x.a["axis"], x.shapes[0])
    if x.op == "softmin":
        data = x("Neg", data)
    if x.a["temperature"] not in (None, 1):
        data = x("Div", data, x.array(x.a["temperature"]))
    op = "LogSoftmax" if x.op == "log_softmax" else "Softmax"
    if not x.a["use_length"]:
        return x(op, data, axis=axis)
    if op == "LogSoftmax":
        raise Unsupported("takes lengths, for which mxnet gives no logarithms that ONNX has")
    counts = x("Unsqueeze", x.cast(x.ins[1], "int64"), x.ints(axis))
    inside = x("Less", _positions(x, axis), counts)
    data = x("Where", inside, data, x.array(np.finfo(np.float32).min))
    return x("Where", inside, x(op, data, axis=axis), x.array(0))


def _positions(x: Call, axis: int, along: int | None = None) -> str:
    """0, 1, … along an axis of the input, int64; of size 1 in every other."""
    start, step = x.array(0, "int64"), x.array(1, "int64")
    size = x("Squeeze", x.size(x.ins[0], axis), x.ints(0))
    sizes = [1] * len(x.shapes[0])
    sizes[axis if along is None else along] = -1
    return x("Reshape", x("Range", start, size, step), x.ints(*sizes))


@converts("hard_sigmoid")
def hard_sigmoid(x: Call) -> str:
    return x("HardSigmoid", x.ins[0], alpha=float(x.a["alpha"]), beta=float(x.a["beta"]))


@converts("smooth_l1")
def smooth_l1(x: Call) -> str:
    square = x.a["scalar"] ** 2
    size = x("Abs", x.ins[0])
    near = x("Mul", x("Mul", x.ins[0], x.ins[0]), x.array(0.5 * square))
    return x(
        "Where",
        x("Less", size, x.array(1 / square)),
        near,
        x("Sub", size, x.array(0.5 / square)),
    )


@converts("Dropout", "_copy", "BlockGrad")
def unchanged(x: Call) -> str:
    return x.ins[0]


# Sequences


@converts("RNN")
def recurrent(x: Call) -> list[str]:
    """Layers one after the other, each with its weights cut out of mxnet's one vector."""
    mode, units, layers = x.a["mode"], x.a["state_size"], x.a["num_layers"]
    ways = 2 if x.a["bidirectional"] else 1
    weights = x.known(x.ins[1])
    if weights is None:
        raise Unsupported("has weights that are computed from its input")
    parts = _layers_of(weights, x.static(0, 2), units, layers, ways, GATES[mode])
    data, ends = x.ins[0], []
    for layer, (inner, states, bias) in enumerate(parts):
        begins = [_begin(x, name, layer, ways) for name in x.ins[2:]]
        order = {"gru": [1, 0, 2], "lstm": [0, 3, 1, 2]}.get(mode, [0])
        found = x.several(
            {"gru": "GRU", "lstm": "LSTM"}.get(mode, "RNN"),
            3 if mode == "lstm" else 2,
            data,
            x.array(_gates(inner, order, 1)),
            x.array(_gates(states, order, 1)),
            x.array(np.concatenate([_gates(bias[:, i], order, 1) for i in (0, 1)], axis=1)),
            "",
            *begins,
            hidden_size=units,
            direction="bidirectional" if ways == 2 else "forward",
            **({"linear_before_reset": 1} if mode == "gru" else {}),
            **({"activations": ["Relu"] * ways} if mode == "rnn_relu" else {}),
        )
        # (T, ways, N, units) to (T, N, ways · units)
        data = x("Reshape", x("Transpose", found[0], perm=[0, 2, 1, 3]), x.ints(0, 0, -1))
        ends.append(found[1:])
    if not x.a["state_outputs"]:
        return [data]
    return [data, *(x("Concat", *states, axis=0) for states in zip(*ends))]


def _layers_of(
    weights: Array, width: int, units: int, layers: int, ways: int, gates: int
) -> list[tuple[Array, Array, Array]]:
    """Each layer's weights of input and state (ways, gates · units, …), and both biases."""
    rows, at = gates * units, 0
    found: list[list[Any]] = [[[], [], []] for _ in range(layers)]

    def cut(*shape: int) -> Array:
        nonlocal at
        at += math.prod(shape)
        return weights[at - math.prod(shape) : at].reshape(shape)

    for layer in range(layers):
        for _ in range(ways):
            found[layer][0].append(cut(rows, width if layer == 0 else ways * units))
            found[layer][1].append(cut(rows, units))
    for layer in range(layers):
        for _ in range(ways):
            found[layer][2].append([cut(rows), cut(rows)])
    return [(np.array(inner), np.array(own), np.array(bias)) for inner, own, bias in found]


def _gates(weights: Array, order: list[int], axis: int) -> Array:
    """The gates along ``axis`` in ONNX's order."""
    parts = np.split(weights, len(order), axis)
    return np.concatenate([parts[i] for i in order], axis)


def _begin(x: Call, name: str, layer: int, ways: int) -> str:
    """The state that a layer begins with; nothing where it is 0."""
    values = x.known(name)
    if values is not None and not values.any():
        return ""
    return x("Slice", name, x.ints(layer * ways), x.ints((layer + 1) * ways), x.ints(0))


def _lengths(x: Call) -> str:
    """How many positions of each example count: (N,) int64, never more than there are."""
    whole = x.cast(x("Floor", x.cast(x.ins[1], "float32")), "int64")
    return x("Max", x("Min", whole, x.size(x.ins[0], x.a["axis"])), x.array(0, "int64"))


def _inside(x: Call, lengths: str) -> str:
    """Which positions of a sequence count, as booleans that fit its first two axes."""
    axis = x.a["axis"]
    sizes = [1] * len(x.shapes[0])
    sizes[1 - axis] = -1
    return x("Less", _positions(x, axis), x("Reshape", lengths, x.ints(*sizes)))


@converts("SequenceMask")
def sequence_mask(x: Call) -> str:
    if not x.a["use_sequence_length"]:
        return x.ins[0]
    return x("Where", _inside(x, _lengths(x)), x.ins[0], x.array(x.a["value"]))


@converts("SequenceReverse")
def sequence_reverse(x: Call) -> str:
    if not x.a["use_sequence_length"]:
        return _backwards(x, [0])
    return x("ReverseSequence", x.ins[0], _lengths(x), time_axis=0, batch_axis=1)


@converts("SequenceLast")
def sequence_last(x: Call) -> str:
    axis = x.a["axis"]
    if not x.a["use_sequence_length"]:
        return x("Gather", x.ins[0], x.array(-1, "int64"), axis=axis)
    last = x("Sub", x("Max", _lengths(x), x.array(1, "int64")), x.array(1, "int64"))
    sizes = [1] * len(x.shapes[0])
    sizes[1 - axis] = -1
    chosen = x("Equal", _positions(x, axis), x("Reshape", last, x.ints(*sizes)))
    return _sum(x, x("Where", chosen, x.ins[0], x.array(0)), [axis], keep=False)


@converts("reverse")
def reverse(x: Call) -> str:
    return _backwards(x, axes_of(x.a["axis"], x.shapes[0]))


def _backwards(x: Call, axes: list[int]) -> str:
    starts, ends, steps = ([value] * len(axes) for value in (-1, -TO_THE_END, -1))
    return x("Slice", x.ins[0], x.ints(*starts), x.ints(*ends), x.ints(*axes), x.ints(*steps))


# Shapes


@converts("Reshape", "Flatten")
def reshape(x: Call) -> str:
    if x.shapes[0] == x.outs[0]:
        return x.ins[0]
    values, sizes = x.known(x.ins[0]), [size for size in x.outs[0] if isinstance(size, int)]
    if values is not None and len(sizes) == len(x.outs[0]):
        return x.array(values.reshape(sizes), str(values.dtype))
    return x.reshape(x.ins[0], x.shapes[0], x.outs[0])


@converts("reshape_like")
def reshape_like(x: Call) -> str:
    if x.shapes[1] == x.outs[0]:
        return x("Reshape", x.ins[0], x("Shape", x.ins[1]))
    return x.reshape(x.ins[0], x.shapes[0], x.outs[0])


@converts("transpose")
def transpose(x: Call) -> str:
    rank = len(x.shapes[0])
    axes = axes_of(x.a["axes"], x.shapes[0]) if x.a["axes"] else range(rank)[::-1]
    return x("Transpose", x.ins[0], perm=list(axes))


@converts("SwapAxis")
def swap_axis(x: Call) -> str:
    axes = list(range(len(x.shapes[0])))
    one, other = (axis_of(x.a[name], x.shapes[0]) for name in ("dim1", "dim2"))
    axes[one], axes[other] = other, one
    return x("Transpose", x.ins[0], perm=axes)


@converts("expand_dims")
def expand_dims(x: Call) -> str:
    axis = axis_of(x.a["axis"], (*x.shapes[0], 1))
    return x("Unsqueeze", x.ins[0], x.ints(axis))


@converts("squeeze")
def squeeze(x: Call) -> str:
    return x.reshape(x.ins[0], x.shapes[0], x.outs[0])


@converts("Concat", "_rnn_param_concat")
def concat(x: Call) -> str:
    axis = axis_of(x.a["dim"], x.shapes[0])
    values = [value for value in map(x.known, x.ins) if value is not None]
    if len(values) == len(x.ins):
        return x.array(np.concatenate(values, axis))
    return x("Concat", *x.ins, axis=axis)


@converts("stack")
def stack(x: Call) -> str:
    axis = axis_of(x.a["axis"], x.outs[0])
    return x("Concat", *(x("Unsqueeze", name, x.ints(axis)) for name in x.ins), axis=axis)


@converts("add_n")
def add_n(x: Call) -> str:
    return x("Sum", *x.ins)


@converts("SliceChannel", "_split_v2")
def split(x: Call) -> list[str]:
    axis = axis_of(x.a["axis"], x.shapes[0])
    size = x.static(0, axis)
    if x.op == "SliceChannel" or x.a["sections"]:
        count = len(x.outs)
        sizes = [size // count] * count
    else:
        borders = [*x.a["indices"], size]
        sizes = [end - start for start, end in zip(borders, borders[1:])]
    if len(sizes) == 1:
        parts = [x.ins[0]]
    else:
        parts = x.several("Split", len(sizes), x.ins[0], x.ints(*sizes), axis=axis)
    if x.a["squeeze_axis"]:
        parts = [x("Squeeze", part, x.ints(axis)) for part in parts]
    return parts


@converts("slice")
def slice_(x: Call) -> str:
    begin, end = x.a["begin"], x.a["end"]
    steps = x.a["step"] or (None,) * len(begin)
    return x(
        "Slice",
        x.ins[0],
        x.ints(*(start or 0 for start in begin)),
        x.ints(*(TO_THE_END if stop is None else stop for stop in end)),
        x.ints(*range(len(begin))),
        x.ints(*(step or 1 for step in steps)),
    )


@converts("slice_axis")
def slice_axis(x: Call) -> str:
    axis = axis_of(x.a["axis"], x.shapes[0])
    end = TO_THE_END if x.a["end"] is None else x.a["end"]
    return x("Slice", x.ins[0], x.ints(x.a["begin"]), x.ints(end), x.ints(axis))


@converts("slice_like")
def slice_like(x: Call) -> str:
    axes = axes_of(x.a["axes"], x.shapes[0])
    ends = x("Gather", x("Shape", x.ins[1]), x.ints(*axes), axis=0)
    return x("Slice", x.ins[0], x.ints(*[0] * len(axes)), ends, x.ints(*axes))


@converts("tile")
def tile(x: Call) -> str:
    rank = len(x.outs[0])
    data, reps = x.ins[0], [1] * (rank - len(x.a["reps"])) + list(x.a["reps"])
    missing = rank - len(x.shapes[0])
    if missing:
        data = x("Unsqueeze", data, x.ints(*range(missing)))
    return x("Tile", data, x.ints(*reps))


@converts("repeat")
def repeat(x: Call) -> str:
    if x.a["axis"] is None:
        flat = x("Reshape", x.ins[0], x.ints(-1, 1))
        return x("Reshape", x("Tile", flat, x.ints(1, x.a["repeats"])), x.ints(-1))
    rank = len(x.shapes[0])
    axis = axis_of(x.a["axis"], x.shapes[0])
    times = [1] * (rank + 1)
    times[axis + 1] = x.a["repeats"]
    many = x("Tile", x("Unsqueeze", x.ins[0], x.ints(axis + 1)), x.ints(*times))
    if axis == 0:
        sizes = x("Slice", x("Shape", x.ins[0]), x.ints(1), x.ints(rank))
        return x("Reshape", many, x("Concat", x.ints(-1), sizes, axis=0))
    parts = [x("Slice", x("Shape", x.ins[0]), x.ints(0), x.ints(axis)), x.ints(-1)]
    if axis < rank - 1:
        parts.append(x("Slice", x("Shape", x.ins[0]), x.ints(axis + 1), x.ints(rank)))
    return x("Reshape", many, x("Concat", *parts, axis=0))


@converts("broadcast_axis", "broadcast_to")
def broadcast_to(x: Call) -> str:
    sizes = [size if isinstance(size, int) else 1 for size in x.outs[0]]
    return x("Expand", x.ins[0], x.ints(*sizes))


@converts("broadcast_like")
def broadcast_like(x: Call) -> str:
    return x("Expand", x.ins[0], x("Shape", x.ins[1]))


@converts("shape_array")
def shape_array(x: Call) -> str:
    return x("Shape", x.ins[0])


@converts("size_array")
def size_array(x: Call) -> str:
    return x("Reshape", x("Size", x.ins[0]), x.ints(1))


# Reductions, orders, choices


def _sum(x: Call, data: str, axes: Sequence[int], *, keep: bool = True) -> str:
    return x("ReduceSum", data, x.ints(*axes), keepdims=int(keep))


def _reduced_axes(x: Call) -> list[int]:
    axes = axes_of(x.a["axis"], x.shapes[0])
    if x.a.get("exclude"):
        axes = [axis for axis in range(len(x.shapes[0])) if axis not in axes]
    return axes


def _one_axis(x: Call, result: str) -> str:
    """What was reduced over all axes as mxnet has it: with one axis."""
    everything = len(_reduced_axes(x)) == len(x.shapes[0]) and not x.a["keepdims"]
    return x("Reshape", result, x.ints(1)) if everything else result


@converts("sum", "nansum")
def total(x: Call) -> str:
    data = _without_nan(x, 0) if x.op == "nansum" else x.ins[0]
    return _one_axis(x, _sum(x, data, _reduced_axes(x), keep=x.a["keepdims"]))


def _without_nan(x: Call, value: float) -> str:
    return x("Where", x("IsNaN", x.ins[0]), x.array(value), x.ins[0])


@converts("max", "mean", "min", "prod", "nanprod", "norm")
def reduction(x: Call) -> str:
    names = {"max": "Max", "mean": "Mean", "min": "Min", "prod": "Prod", "nanprod": "Prod"}
    name = names.get(x.op) or f"L{x.a['ord']}"
    data = _without_nan(x, 1) if x.op == "nanprod" else x.ins[0]
    found = x(f"Reduce{name}", data, axes=_reduced_axes(x), keepdims=int(x.a["keepdims"]))
    return _one_axis(x, found)


@converts("argmax", "argmin")
def argument(x: Call) -> str:
    name = {"argmax": "ArgMax", "argmin": "ArgMin"}[x.op]
    if x.a["axis"] is None:
        flat = x("Reshape", x.ins[0], x.ints(-1))
        found = x(name, flat, axis=0, keepdims=1)
        if x.a["keepdims"]:
            found = x("Reshape", found, x.ints(*[1] * len(x.shapes[0])))
        return x.cast(found, "float32")
    axis = axis_of(x.a["axis"], x.shapes[0])
    found = x(name, x.ins[0], axis=axis, keepdims=int(x.a["keepdims"]))
    return x.cast(_one_axis(x, found), "float32")


@converts("topk")
def top_k(x: Call) -> list[str]:
    kind, axis = x.a["ret_typ"], axis_of(x.a["axis"], x.shapes[0])
    if kind == "mask":
        raise Unsupported("gives a mask")
    values, places = _ordered(x, axis, x.ints(x.a["k"]), ascending=x.a["is_ascend"])
    places = x.cast(places, x.a["dtype"])
    return {"value": [values], "indices": [places], "both": [values, places]}[kind]


def _ordered(x: Call, axis: int, count: str, *, ascending: bool) -> list[str]:
    return x.several("TopK", 2, x.ins[0], count, axis=axis, largest=int(not ascending))


@converts("sort", "argsort")
def sort(x: Call) -> str:
    axis = axis_of(x.a["axis"], x.shapes[0])
    values, places = _ordered(x, axis, x.size(x.ins[0], axis), ascending=x.a["is_ascend"])
    return values if x.op == "sort" else x.cast(places, x.a["dtype"])


@converts("cumsum")
def cumsum(x: Call) -> str:
    data, axis = x.ins[0], x.a["axis"]
    if axis is None:
        data, axis = x("Reshape", data, x.ints(-1)), 0
    return x("CumSum", data, x.array(axis, "int64"))


@converts("take")
def take(x: Call) -> str:
    axis = axis_of(x.a["axis"], x.shapes[0])
    return x("Gather", x.ins[0], _within(x, x.ins[1], x.static(0, axis), x.a["mode"]), axis=axis)


@converts("pick")
def pick(x: Call) -> str:
    axis = axis_of(x.a["axis"], x.shapes[0])
    places = _within(x, x.ins[1], x.static(0, axis), x.a["mode"])
    if len(x.shapes[1]) < len(x.shapes[0]):
        places = x("Unsqueeze", places, x.ints(axis))
    found = x("GatherElements", x.ins[0], places, axis=axis)
    return found if x.a["keepdims"] else x("Squeeze", found, x.ints(axis))


@converts("one_hot")
def one_hot(x: Call) -> str:
    """Compared with every index: ONNX would count a negative one from the end."""
    places = x("Unsqueeze", x.cast(x.ins[0], "int64"), x.ints(-1))
    chosen = x("Equal", places, x.array(np.arange(x.a["depth"]), "int64"))
    on, off = (x.array(x.a[name], x.a["dtype"]) for name in ("on_value", "off_value"))
    return x("Where", chosen, on, off)


@converts("where")
def where(x: Call) -> str:
    chosen = x.truth(x.ins[0])
    behind = len(x.shapes[1]) - len(x.shapes[0])
    if behind:
        chosen = x("Unsqueeze", chosen, x.ints(*range(1, 1 + behind)))
    return x("Where", chosen, *x.ins[1:])


@converts("Cast")
def cast(x: Call) -> str:
    return x.ins[0] if x.dtypes[0] == x.dtype else x.cast(x.ins[0], x.dtype)


@converts("clip")
def clip(x: Call) -> str:
    return x("Clip", x.ins[0], x.array(x.a["a_min"]), x.array(x.a["a_max"]))


# Products


@converts("dot", "batch_dot")
def product(x: Call) -> str:
    one, other = x.ins
    axes = list(range(len(x.shapes[0])))
    turned = [*axes[:-2], axes[-1], axes[-2]]
    if x.a["transpose_a"]:
        one = x("Transpose", one, perm=turned)
    if x.a["transpose_b"]:
        other = x("Transpose", other, perm=turned)
    return x("MatMul", one, other)


def _heads(x: Call, place: int, order: Sequence[int] = (1, 2, 0, 3)) -> str:
    """Of queries, keys and values (T, N, heads · 3 · D) those at ``place``, (T, N, heads, D), in
    another ``order`` of the axes: (N, heads, T, D).
    """
    size = x.static(0, 2) // 3 // x.a["heads"]
    apart = x("Reshape", x.ins[0], x.ints(0, 0, x.a["heads"], 3, size))
    part = x("Gather", apart, x.array(place, "int64"), axis=3)
    return x("Transpose", part, perm=list(order))


@converts("_contrib_interleaved_matmul_selfatt_qk")
def attention_scores(x: Call) -> str:
    size = x.static(0, 2) // 3 // x.a["heads"]
    queries = x("Div", _heads(x, 0), x.array(math.sqrt(size)))
    scores = x("MatMul", queries, _heads(x, 1, [1, 2, 3, 0]))
    length = x.size(x.ins[0], 0)
    return x("Reshape", scores, x("Concat", x.ints(-1), length, length, axis=0))


@converts("_contrib_interleaved_matmul_selfatt_valatt")
def attention_values(x: Call) -> str:
    length = x.size(x.ins[0], 0)
    apart = x("Concat", x.ints(-1, x.a["heads"]), length, length, axis=0)
    values = x("MatMul", x("Reshape", x.ins[1], apart), _heads(x, 2))
    return x("Reshape", x("Transpose", values, perm=[2, 0, 1, 3]), x.ints(0, 0, -1))


# What takes nothing, or only a shape


@converts("_zeros", "_ones", "_full")
def filled(x: Call) -> str:
    """The batch is 1 here: whoever takes it repeats it."""
    value = {"_zeros": 0, "_ones": 1}.get(x.op, x.a.get("value"))
    return x.array(np.full([size or 1 for size in x.a["shape"]], value), x.a["dtype"])


@converts("zeros_like", "ones_like")
def filled_like(x: Call) -> str:
    value = x.array(float(x.op == "ones_like"))
    return x("Expand", value, x("Shape", x.ins[0]))


@converts("_arange")
def arange(x: Call) -> str:
    start, stop = (0.0, x.a["start"]) if x.a["stop"] is None else (x.a["start"], x.a["stop"])
    return x.array(np.repeat(np.arange(start, stop, x.a["step"]), x.a["repeat"]), x.a["dtype"])


@converts("_contrib_arange_like")
def arange_like(x: Call) -> str:
    first, step = x.array(0, "int64"), x.array(1, "int64")
    axis = x.a["axis"]
    if axis is None:
        size = x("Size", x.ins[0])
    else:
        size = x("Squeeze", x.size(x.ins[0], axis_of(axis, x.shapes[0])), x.ints(0))
    counted = x.cast(x("Range", first, size, step), x.dtype)
    found = x("Add", x("Mul", counted, x.array(x.a["step"])), x.array(x.a["start"]))
    return found if axis is not None else x("Reshape", found, x("Shape", x.ins[0]))


@converts("_contrib_div_sqrt_dim")
def divided_by_root(x: Call) -> str:
    return x("Div", x.ins[0], x.array(math.sqrt(x.static(0, len(x.shapes[0]) - 1))))


# Arithmetic, a number at a time

_PLAIN = {
    "abs": "Abs", "arccos": "Acos", "arccosh": "Acosh", "arcsin": "Asin", "arcsinh": "Asinh",
    "arctan": "Atan", "arctanh": "Atanh", "ceil": "Ceil", "cos": "Cos", "cosh": "Cosh",
    "erf": "Erf", "exp": "Exp", "floor": "Floor", "log": "Log", "negative": "Neg",
    "reciprocal": "Reciprocal", "relu": "Relu", "sigmoid": "Sigmoid", "sign": "Sign", "sin": "Sin",
    "sinh": "Sinh", "softsign": "Softsign", "sqrt": "Sqrt", "tan": "Tan", "tanh": "Tanh",
}  # fmt: skip


@converts(*_PLAIN)
def plain(x: Call) -> str:
    return x(_PLAIN[x.op], x.ins[0])


def _truncated(x: Call, data: str) -> str:
    return x("Mul", x("Sign", data), x("Floor", x("Abs", data)))


_COMPOSED: dict[str, Callable[[Call, str], str]] = {
    "square": lambda x, v: x("Mul", v, v),
    "rsqrt": lambda x, v: x("Reciprocal", x("Sqrt", v)),
    "cbrt": lambda x, v: x("Mul", x("Sign", v), x("Pow", x("Abs", v), x.array(1 / 3))),
    "rcbrt": lambda x, v: x("Reciprocal", _COMPOSED["cbrt"](x, v)),
    "log2": lambda x, v: x("Div", x("Log", v), x.array(math.log(2))),
    "log10": lambda x, v: x("Div", x("Log", v), x.array(math.log(10))),
    "degrees": lambda x, v: x("Mul", v, x.array(180 / math.pi)),
    "radians": lambda x, v: x("Mul", v, x.array(math.pi / 180)),
    "fix": _truncated,
    "trunc": _truncated,
    "rint": lambda x, v: x("Ceil", x("Sub", v, x.array(0.5))),  # of two as near, the lower one
    "round": lambda x, v: x("Mul", x("Sign", v), x("Floor", x("Add", x("Abs", v), x.array(0.5)))),
    "logical_not": lambda x, v: x.cast(x("Not", x.truth(v)), x.dtype),
}


@converts(*_COMPOSED)
def composed(x: Call) -> str:
    return _COMPOSED[x.op](x, x.ins[0])


def _remainder(x: Call, one: str, other: str) -> str:
    """With the sign of the divisor; 0 where that is 0."""
    left = x("Sub", one, x("Mul", other, x("Floor", x("Div", one, other))))
    return x("Where", x.truth(other), left, x.array(0))


def _hypotenuse(x: Call, one: str, other: str) -> str:
    return x("Sqrt", x("Add", x("Mul", one, one), x("Mul", other, other)))


def _by(op: str) -> Callable[[Call, str, str], str]:
    return lambda x, one, other: x(op, one, other)


def _compared(op: str, *, negated: bool = False) -> Callable[[Call, str, str], str]:
    def compare(x: Call, one: str, other: str) -> str:
        found = x(op, one, other)
        return x.cast(x("Not", found) if negated else found, x.dtype)

    return compare


def _logical(op: str) -> Callable[[Call, str, str], str]:
    return lambda x, one, other: x.cast(x(op, x.truth(one), x.truth(other)), x.dtype)


_TWO: dict[str, Callable[[Call, str, str], str]] = {
    "add": _by("Add"),
    "plus": _by("Add"),
    "sub": _by("Sub"),
    "minus": _by("Sub"),
    "mul": _by("Mul"),
    "div": _by("Div"),
    "power": _by("Pow"),
    "maximum": _by("Max"),
    "minimum": _by("Min"),
    "mod": _remainder,
    "hypot": _hypotenuse,
    "equal": _compared("Equal"),
    "not_equal": _compared("Equal", negated=True),
    "greater": _compared("Greater"),
    "greater_equal": _compared("GreaterOrEqual"),
    "lesser": _compared("Less"),
    "lesser_equal": _compared("LessOrEqual"),
    "logical_and": _logical("And"),
    "logical_or": _logical("Or"),
    "logical_xor": _logical("Xor"),
}


def _name_of_two(op: str) -> str:
    for before in ("elemwise_", "broadcast_", "_"):
        if op.startswith(before):
            return op[len(before) :]
    return op


_NAMES_OF_TWO = [f"{kind}{name}" for kind in ("elemwise_", "broadcast_", "_") for name in _TWO]


@converts(*(name for name in _NAMES_OF_TWO if name in OPERATORS))
def two(x: Call) -> str:
    return _TWO[_name_of_two(x.op)](x, *x.ins)


@converts(*(f"_{name}_scalar" for name in _TWO if f"_{name}_scalar" in OPERATORS))
def with_number(x: Call) -> str:
    return _TWO[x.op[1 : -len("_scalar")]](x, x.ins[0], x.array(x.a["scalar"]))


@converts(*(f"_r{name}_scalar" for name in ("div", "minus", "mod", "power")))
def number_with(x: Call) -> str:
    return _TWO[x.op[2 : -len("_scalar")]](x, x.array(x.a["scalar"]), x.ins[0])
