"""The operators of ONNX that an export may hold: what each makes of its inputs, of opset 13.

As ``core/runtime/shapes.py`` for mxnet's. An attribute that an operator does not take here is
refused; so is a size that depends on the numbers of the input, and a division of whole numbers by
anything but constants above 0, which ends the process.
Source: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, List, Sequence

import numpy as np

from ..runtime import shapes
from ..runtime.shapes import MAX_AXES, Shape, Unfit
from ..runtime.types import Array

MAX_SIZE = 2**31 - 1  # of a tensor
MAX_KNOWN = 1_000  # numbers whose values are followed: shapes have a few
# TensorProto.DataType, as numpy calls it.
DTYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
            11: "float64"}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A tensor: ``values`` where they are known; ``fixed`` if they do not depend on the input."""

    dtype: str
    shape: Shape
    values: Array | None = None
    fixed: bool = False

    @property
    def size(self) -> int:
        """In bytes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class Call:
    """A node with what it is given; an input that is left out is None."""

    def __init__(self, op: str, attributes: dict[str, Any], ins: Sequence[Found | None]) -> None:
        self.op, self.attributes = op, attributes
        self.all = list(ins)
        self._taken: set[str] = set()
        self.multiplied = 1  # by how many numbers each of the output's is made

    # What a rule asks for.

    def __getitem__(self, place: int) -> Found:
        found = self.get(place)
        if found is None:
            raise Unfit(f"takes an input {place + 1}, which is left out")
        return found

    def get(self, place: int) -> Found | None:
        return self.all[place] if place < len(self.all) else None

    def shape(self, place: int = 0) -> Shape:
        return self[place].shape

    def shapes(self) -> list[Shape]:
        return [found.shape for found in self.all if found is not None]

    def attribute(self, name: str, kind: type, default: Any = None) -> Any:
        """An attribute of type ``kind``; one without a default has to be there."""
        self._taken.add(name)
        value = self.attributes.get(name, default)
        items = value if isinstance(value, tuple) else ()
        if not isinstance(value, kind) or not all(isinstance(each, int) for each in items):
            raise Unfit(f"has an attribute {name} that is missing or of another type")
        return value

    def numbers(self, name: str, count: int, default: int | None, least: int) -> tuple[int, ...]:
        """An attribute of ``count`` whole numbers, each at least ``least``."""
        found: tuple[int, ...] = self.attribute(
            name, tuple, None if default is None else (default,) * count
        )
        if len(found) != count or not all(least <= each < 2**31 for each in found):
            raise Unfit(f"has {name} {found}, expected {count} numbers from {least}")
        return found

    def flag(self, name: str, default: int = 0) -> bool:
        value: int = self.attribute(name, int, default)
        if value not in (0, 1):
            raise Unfit(f"has {name} {value}, expected 0 or 1")
        return bool(value)

    def one_of(self, name: str, allowed: Sequence[str], default: str | None = None) -> str:
        value: str = self.attribute(name, str, default)
        if value not in allowed:
            raise Unfit(f"has {name} {value!a}, expected {', '.join(allowed)}")
        return value

    def axis(self, default: int | None, shape: Shape | None = None) -> int:
        value: int = self.attribute("axis", int, default)
        return shapes.axis_of(value, self.shape() if shape is None else shape)

    def ints(self, place: int, axes: int = 1) -> list[int]:
        """Whole numbers that are known beforehand, such as sizes; one where ``axes`` is 0."""
        found = self[place]
        if found.values is None:
            raise Unfit(f"takes sizes as input {place + 1} that depend on the numbers of its input")
        if found.dtype != "int64" or len(found.shape) != axes:
            raise Unfit(f"takes whole numbers, with {axes} axes, as input {place + 1}")
        if found.values.size > MAX_KNOWN:
            raise Unfit(f"takes {found.values.size:,} sizes, expected {MAX_KNOWN:,} at most")
        return [int(each) for each in np.atleast_1d(found.values)]

    def axes(self, place: int, shape: Shape) -> list[int]:
        return shapes.axes_of(tuple(self.ints(place)), shape)

    # What comes of it.

    def outputs(self, count: int) -> list[Found]:
        """What its ``count`` outputs are. Raises Unfit."""
        rule = OPERATORS[self.op]
        if not rule.least <= len(self.all) <= rule.most or not all(
            found is not None for found in self.all[: rule.least]
        ):
            raise Unfit(f"has {len(self.all)} inputs, expected {rule.least} to {rule.most}")
        found = rule.infer(self)
        surplus = sorted(self.attributes.keys() - self._taken)
        if surplus:
            raise Unfit(f"has an attribute {surplus[0]!a}, which no export gives it")
        if not 0 < count <= len(found):
            raise Unfit(f"has {count} outputs, expected 1 to {len(found)}")
        for each in found:
            if len(each.shape) > MAX_AXES or not all(size > 0 for size in each.shape):
                raise Unfit(f"would give the shape {each.shape}")
            if math.prod(each.shape) > MAX_SIZE:
                raise Unfit(f"would give the shape {each.shape}, more than {MAX_SIZE:,} numbers")
        fixed = all(each is None or each.fixed for each in self.all)
        return [
            Found(each.dtype, each.shape, each.values, fixed or each.fixed)
            for each in found[:count]
        ]

    def work(self, outputs: Sequence[Found]) -> int:
        """About how many multiplications that takes."""
        return self.multiplied * sum(math.prod(each.shape) for each in outputs)


@dataclass(frozen=True)
class Rule:
    """``infer`` gives what comes of between ``least`` and ``most`` inputs."""

    infer: Callable[[Call], list[Found]]
    least: int
    most: int


OPERATORS: dict[str, Rule] = {}
Infer = Callable[[Call], List[Found]]


def operator(least: int, most: int, *names: str) -> Callable[[Infer], Infer]:
    def add(infer: Infer) -> Infer:
        OPERATORS.update(dict.fromkeys(names, Rule(infer, least, most)))
        return infer

    return add


def _of(x: Call, *found: Shape, dtype: str = "") -> list[Found]:
    """Outputs of these shapes, of the first input's dtype."""
    return [Found(dtype or x[0].dtype, tuple(shape)) for shape in found]


def _need(x: Call, fits: bool, expected: str) -> None:
    shapes.need(fits, expected, x.shapes())


# A number at a time


@operator(1, 1, "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh",
          "Erf", "Exp", "Floor", "Log", "Neg", "Not", "Reciprocal", "Relu", "Selu", "Sigmoid",
          "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh")  # fmt: skip
def _each(x: Call) -> list[Found]:
    return _of(x, x.shape())


@operator(1, 1, "Identity")
def _identity(x: Call) -> list[Found]:
    return [x[0]]


@operator(1, 1, "Elu", "LeakyRelu")
def _bent(x: Call) -> list[Found]:
    x.attribute("alpha", float)
    return _of(x, x.shape())


@operator(1, 1, "HardSigmoid")
def _hard_sigmoid(x: Call) -> list[Found]:
    x.attribute("alpha", float), x.attribute("beta", float)
    return _of(x, x.shape())


@operator(1, 1, "IsNaN")
def _is_nan(x: Call) -> list[Found]:
    return _of(x, x.shape(), dtype="bool")


@operator(1, 1, "Cast")
def _cast(x: Call) -> list[Found]:
    dtype = DTYPES.get(x.attribute("to", int))
    if dtype is None:
        raise Unfit("casts to a dtype that no export has")
    whole = x[0].values if {dtype, x[0].dtype} <= {"int32", "int64"} else None
    return [Found(dtype, x.shape(), whole)]


@operator(1, 3, "Clip")
def _clip(x: Call) -> list[Found]:
    _need(x, all(shape == () for shape in x.shapes()[1:]), "limits that are one number each")
    return _of(x, x.shape())


@operator(1, MAX_KNOWN, "Sum", "Max", "Min")
@operator(2, 2, "Add", "Sub", "Mul", "Pow", "And", "Or", "Xor")
def _together(x: Call) -> list[Found]:
    return _of(x, *shapes.broadcast({}, x.shapes()))


@operator(2, 2, "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
def _compared(x: Call) -> list[Found]:
    return _of(x, *shapes.broadcast({}, x.shapes()), dtype="bool")


@operator(2, 2, "Div", "Mod")
def _divided(x: Call) -> list[Found]:
    divisor = x[1]
    if "float" not in divisor.dtype and not (
        divisor.values is not None and bool((divisor.values > 0).all())
    ):
        raise Unfit("divides whole numbers by what may be 0")
    if x.op == "Mod" and "float" in divisor.dtype:
        raise Unfit("takes whole numbers alone")
    return _together(x)


@operator(3, 3, "Where")
def _where(x: Call) -> list[Found]:
    return _of(x, *shapes.broadcast({}, x.shapes()), dtype=x[1].dtype)


@operator(2, 2, "PRelu")
def _prelu(x: Call) -> list[Found]:
    (shape,) = shapes.broadcast({}, x.shapes())
    _need(x, shape == x.shape(), "slopes that fit its input")
    return _of(x, shape)


# Layers with weights


def _windows(x: Call, kernel: Shape, least: int = 0) -> tuple[Shape, Shape, Shape, Shape]:
    """Strides, dilations, and the padding before and after, a number an axis."""
    count = len(x.shape()) - 2
    _need(x, 1 <= count <= 3 and len(kernel) == count, "(N, C, …)")
    pads = x.numbers("pads", 2 * count, 0, 0)
    strides = x.numbers("strides", count, 1, 1)
    return strides, x.numbers("dilations", count, 1, 1), pads[:count], pads[count:]


def _slid(x: Call, kernel: Shape, windows: tuple[Shape, Shape, Shape, Shape]) -> Shape:
    """How many places a window has along each axis."""
    found = []
    for size, k, step, apart, before, after in zip(x.shape()[2:], kernel, *windows):
        left = size + before + after - (apart * (k - 1) + 1)
        _need(x, left >= 0, "an input as large as its kernel")
        found.append(left // step + 1)
    return tuple(found)


def _kernel(x: Call, weight: Shape) -> Shape:
    _need(x, len(weight) == len(x.shape()), "weights with as many axes as its input")
    kernel = x.numbers("kernel_shape", len(weight) - 2, None, 1)
    _need(x, kernel == weight[2:], f"weights of a kernel {kernel}")
    return kernel


@operator(2, 3, "Conv")
def _conv(x: Call) -> list[Found]:
    weight, groups = x.shape(1), x.attribute("group", int, 1)
    kernel = _kernel(x, weight)
    windows = _windows(x, kernel)
    channels = x.shape()[1]
    _need(
        x,
        groups > 0 and weight[0] % groups == 0 and channels == weight[1] * groups,
        f"channels in {groups} groups",
    )
    _need(x, x.get(2) is None or x.shape(2) == weight[:1], f"a bias ({weight[0]},)")
    x.multiplied = math.prod(weight[1:])
    return _of(x, (x.shape()[0], weight[0], *_slid(x, kernel, windows)))


@operator(2, 3, "ConvTranspose")
def _conv_transpose(x: Call) -> list[Found]:
    weight, groups = x.shape(1), x.attribute("group", int, 1)
    kernel = _kernel(x, weight)
    windows = _windows(x, kernel)
    more = x.numbers("output_padding", len(kernel), 0, 0)
    _need(
        x, groups > 0 and weight[0] % groups == 0 and x.shape()[1] == weight[0],
        f"channels in {groups} groups",
    )  # fmt: skip
    filters = weight[1] * groups
    _need(x, x.get(2) is None or x.shape(2) == (filters,), f"a bias ({filters},)")
    x.multiplied = math.prod(weight) // weight[1]
    sizes = []
    for size, k, adj, step, apart, before, after in zip(x.shape()[2:], kernel, more, *windows):
        _need(x, adj < max(step, apart), "less output_padding than its stride")
        sizes.append(step * (size - 1) + apart * (k - 1) + 1 - before - after + adj)
    return _of(x, (x.shape()[0], filters, *sizes))


@operator(2, 3, "Gemm")
def _gemm(x: Call) -> list[Found]:
    data, weight = x.shape(), x.shape(1)
    turned = x.flag("transB")
    _need(x, len(data) == len(weight) == 2, "two matrices")
    width, units = weight[::-1] if turned else weight
    _need(x, data[1] == width, "matrices whose inner sizes agree")
    _need(x, x.get(2) is None or x.shape(2) == (units,), f"a bias ({units},)")
    x.multiplied = width
    return _of(x, (data[0], units))


@operator(2, 2, "MatMul")
def _matmul(x: Call) -> list[Found]:
    one, other = x.shape(), x.shape(1)
    _need(x, min(len(one), len(other)) >= 2 and one[-1] == other[-2], "matrices that fit")
    (batch,) = shapes.broadcast({}, [one[:-2], other[:-2]])
    x.multiplied = one[-1]
    return _of(x, (*batch, one[-2], other[-1]))


@operator(5, 5, "BatchNormalization")
def _batch_norm(x: Call) -> list[Found]:
    x.attribute("epsilon", float)
    _need(x, len(x.shape()) >= 2, "(N, C, …)")
    channels = x.shape()[1:2]
    _need(x, all(shape == channels for shape in x.shapes()[1:]), f"four vectors {channels}")
    return _of(x, x.shape())


@operator(1, 1, "LRN")
def _lrn(x: Call) -> list[Found]:
    for name in ("alpha", "beta", "bias"):
        x.attribute(name, float)
    size = x.attribute("size", int)
    _need(x, len(x.shape()) == 4 and 0 < size < 2**15 and size % 2 == 1, "(N, C, H, W)")
    x.multiplied = size
    return _of(x, x.shape())


@operator(4, 7, "RNN", "GRU", "LSTM")
def _recurrent(x: Call) -> list[Found]:
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[x.op]
    units = x.attribute("hidden_size", int)
    ways = 1 + (x.one_of("direction", ("forward", "bidirectional")) == "bidirectional")
    if x.op == "GRU":
        x.flag("linear_before_reset")
    if x.op == "RNN" and "activations" in x.attributes:
        x._taken.add("activations")
        if x.attributes["activations"] != ("Relu",) * ways:
            raise Unfit("has activations that no export gives it")
    data = x.shape()
    _need(x, len(data) == 3 and 0 < units < 2**24, "(T, N, C)")
    time, batch, width = data
    rows = gates * units
    expected = [data, (ways, rows, width), (ways, rows, units), (ways, 2 * rows)]
    states = [place for place in range(5, len(x.all)) if x.get(place) is not None]
    _need(
        x,
        x.shapes()[:4] == expected
        and x.get(4) is None
        and all(x.shape(place) == (ways, batch, units) for place in states)
        and (x.op == "LSTM" or len(x.all) <= 6),
        f"weights {expected[1:]}",
    )
    x.multiplied = gates * (width + units)
    state = (ways, batch, units)
    return _of(x, (time, ways, batch, units), state, *[state] * (x.op == "LSTM"))


@operator(3, 3, "QuantizeLinear", "DequantizeLinear")
def _quantized(x: Call) -> list[Found]:
    scale, zero = x[1], x[2]
    vector = scale.shape != ()
    axis = x.axis(1) if vector else 0
    x._taken.add("axis")
    _need(
        x,
        zero.shape == scale.shape and scale.shape in ((), x.shape()[axis : axis + 1]),
        "a scale and a zero point, or one of each for each channel",
    )
    quantizes = x.op == "QuantizeLinear"
    return _of(x, x.shape(), dtype=zero.dtype if quantizes else scale.dtype)


# Pooling and resizing


@operator(1, 1, "GlobalAveragePool", "GlobalMaxPool")
def _global(x: Call) -> list[Found]:
    _need(x, len(x.shape()) >= 3, "(N, C, …)")
    x.multiplied = math.prod(x.shape()[2:])
    return _of(x, (*x.shape()[:2], *[1] * (len(x.shape()) - 2)))


@operator(1, 1, "MaxPool", "AveragePool")
def _pooled(x: Call) -> list[Found]:
    if x.op == "AveragePool":
        x.flag("count_include_pad")
    kernel = x.numbers("kernel_shape", max(0, len(x.shape()) - 2), None, 1)
    strides, dilations, before, after = _windows(x, kernel)
    fits = all(p < k and q < k for p, q, k in zip(before, after, kernel))
    _need(x, fits and set(dilations) == {1}, "less padding than its kernel")
    x.multiplied = math.prod(kernel)
    sizes = _slid(x, kernel, (strides, dilations, before, after))
    return _of(x, (*x.shape()[:2], *sizes))


@operator(1, 4, "Resize")
def _resized(x: Call) -> list[Found]:
    x.one_of("mode", ("linear", "nearest"))
    x.one_of("nearest_mode", ("floor",), "floor")
    ways = ("align_corners", "half_pixel", "asymmetric")
    x.one_of("coordinate_transformation_mode", ways)
    shape = x.shape()
    _need(x, len(shape) == 4 and x.get(1) is None, "(N, C, H, W)")
    scales = x.get(2)
    if scales is None:
        sizes = tuple(x.ints(3))
    else:
        _need(x, x.get(3) is None and scales.values is not None, "scales or sizes")
        known = np.asarray(scales.values, np.float64).reshape(-1)
        _need(x, len(known) == 4 and bool(((known >= 1) & (known < 2**16)).all()), "4 scales")
        sizes = tuple(int(size * scale) for size, scale in zip(shape, known))
    _need(x, len(sizes) == 4 and sizes[:2] == shape[:2], "sizes (N, C, H, W)")
    return _of(x, sizes)


@operator(1, 1, "DepthToSpace", "SpaceToDepth")
def _blocks(x: Call) -> list[Found]:
    if x.op == "DepthToSpace":
        x.one_of("mode", ("DCR",))
    block, shape = x.attribute("blocksize", int), x.shape()
    _need(x, len(shape) == 4 and 0 < block < 2**15, "(N, C, H, W)")
    batch, channels, height, width = shape
    if x.op == "DepthToSpace":
        _need(x, channels % block**2 == 0, f"channels in blocks of {block}")
        return _of(x, (batch, channels // block**2, height * block, width * block))
    _need(x, height % block == 0 and width % block == 0, f"sides in blocks of {block}")
    return _of(x, (batch, channels * block**2, height // block, width // block))


@operator(2, 3, "Pad")
def _padded(x: Call) -> list[Found]:
    mode, shape = x.one_of("mode", ("constant", "edge", "reflect"), "constant"), x.shape()
    pads, rank = x.ints(1), len(shape)
    _need(x, len(pads) == 2 * rank and min(pads) >= 0, f"{2 * rank} widths")
    _need(x, x.get(2) is None or x.shape(2) in ((), (1,)), "one number to pad with")
    if mode == "reflect":
        _need(x, all(p < size for p, size in zip(pads, shape * 2)), "less padding than its input")
    return _of(x, tuple(p + s + q for p, s, q in zip(pads[:rank], shape, pads[rank:])))


# Shapes


@operator(1, 1, "Flatten")
def _flattened(x: Call) -> list[Found]:
    axis = x.attribute("axis", int, 1)
    _need(x, 0 <= axis <= len(x.shape()), f"an axis {axis}")
    return _of(x, (math.prod(x.shape()[:axis]), math.prod(x.shape()[axis:])))


@operator(2, 2, "Reshape")
def _reshaped(x: Call) -> list[Found]:
    source, wanted = x.shape(), x.ints(1)
    _need(x, len(wanted) <= MAX_AXES and min(wanted, default=1) >= -1, "sizes from -1")
    sizes = []
    for place, size in enumerate(wanted):
        _need(x, size != 0 or place < len(source), "sizes to keep that are there")
        sizes.append(source[place] if size == 0 else size)
    if -1 in sizes:
        place, total = sizes.index(-1), math.prod(source)
        rest = math.prod(sizes[:place] + sizes[place + 1 :])
        _need(x, rest > 0 and total % rest == 0, f"a shape that can be {wanted}")
        sizes[place] = total // rest
    _need(x, math.prod(sizes) == math.prod(source), f"a shape that can be {wanted}")
    return [Found(x[0].dtype, tuple(sizes), _known(x, lambda v, _: v.reshape(sizes)))]


def _known(x: Call, made: Callable[..., Array]) -> Array | None:
    """What comes of inputs that are few whole numbers, all of them known."""
    values = [found.values for found in x.all if found is not None]
    if any(each is None or each.size > MAX_KNOWN for each in values) or "int" not in x[0].dtype:
        return None
    return made(*values)


@operator(1, 1, "Transpose")
def _transposed(x: Call) -> list[Found]:
    perm = x.attribute("perm", tuple)
    _need(x, sorted(perm) == list(range(len(x.shape()))), f"as many axes as {perm}")
    return _of(x, tuple(x.shape()[axis] for axis in perm))


@operator(1, 1, "Shape")
def _shape(x: Call) -> list[Found]:
    rank = len(x.shape())
    return [Found("int64", (rank,), np.array(x.shape(), np.int64))]


@operator(1, 1, "Size")
def _size(x: Call) -> list[Found]:
    return [Found("int64", (), np.array(math.prod(x.shape()), np.int64))]


@operator(1, MAX_KNOWN, "Concat")
def _concat(x: Call) -> list[Found]:
    axis, first = x.axis(None), x.shape()
    every = [x.shape(place) for place in range(len(x.all))]
    _need(
        x,
        all(len(each) == len(first) for each in every)
        and all(shapes.replaced(each, axis) == shapes.replaced(first, axis) for each in every),
        "inputs whose other axes agree",
    )
    shape = shapes.replaced(first, axis, sum(each[axis] for each in every))
    values = _known(x, lambda *parts: np.concatenate(parts, axis))
    return [Found(x[0].dtype, shape, values)]


@operator(1, 2, "Split")
def _split(x: Call) -> list[Found]:
    axis, sizes = x.axis(0), x.ints(1)
    _need(x, sum(sizes) == x.shape()[axis] and min(sizes) > 0, f"parts {sizes[:20]}")
    return _of(x, *(shapes.replaced(x.shape(), axis, size) for size in sizes))


@operator(3, 5, "Slice")
def _slice(x: Call) -> list[Found]:
    shape, starts, ends = x.shape(), x.ints(1), x.ints(2)
    axes = x.axes(3, shape) if x.get(3) is not None else list(range(len(starts)))
    steps = x.ints(4) if x.get(4) is not None else [1] * len(starts)
    same = len(starts) == len(ends) == len(axes) == len(steps) > 0 and len(starts) <= len(shape)
    _need(x, same and 0 not in steps, "as many starts as ends, axes and steps, which are not 0")
    parts = [slice(None)] * len(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps):
        # From the end backwards, ONNX takes what lies before the first for all of it.
        before = step < 0 and end < -shape[axis]
        parts[axis] = slice(start, None if before else end, step)
    sizes = tuple(len(range(*part.indices(size))) for part, size in zip(parts, shape))
    return [Found(x[0].dtype, sizes, _known(x, lambda v, *_: v[tuple(parts)]))]


@operator(2, 2, "Squeeze", "Unsqueeze")
def _axes_changed(x: Call) -> list[Found]:
    shape, named = x.shape(), x.ints(1)
    if x.op == "Squeeze":
        axes = shapes.axes_of(tuple(named), shape) if named else []
        _need(x, all(shape[axis] == 1 for axis in axes), "axes of size 1")
        sizes = [size for axis, size in enumerate(shape) if axis not in axes]
    else:
        _need(x, 0 < len(named) <= MAX_AXES, "axes to add")
        full = (1,) * (len(shape) + len(named))
        axes, left = shapes.axes_of(tuple(named), full), list(shape)
        sizes = [1 if axis in axes else left.pop(0) for axis in range(len(full))]
    return [Found(x[0].dtype, tuple(sizes), _known(x, lambda v, _: v.reshape(sizes)))]


@operator(2, 2, "Tile")
def _tiled(x: Call) -> list[Found]:
    times = x.ints(1)
    _need(x, len(times) == len(x.shape()) and min(times, default=1) > 0, "times for each axis")
    return _of(x, tuple(size * each for size, each in zip(x.shape(), times)))


@operator(2, 2, "Expand")
def _expanded(x: Call) -> list[Found]:
    wanted = tuple(x.ints(1))
    _need(x, len(wanted) <= MAX_AXES and min(wanted, default=1) > 0, "sizes above 0")
    return _of(x, *shapes.broadcast({}, [x.shape(), wanted]))


@operator(3, 3, "Range")
def _range(x: Call) -> list[Found]:
    (start,), (stop,), (step,) = (x.ints(place, 0) for place in range(3))
    _need(x, step != 0, "a step that is not 0")
    return _of(x, (len(range(start, stop, step)),))


@operator(2, 2, "Gather")
def _gathered(x: Call) -> list[Found]:
    axis = x.axis(0)
    shape = shapes.replaced(x.shape(), axis, *x.shape(1))
    indices = x[1]
    if indices.values is not None and "int" in indices.dtype:
        size = x.shape()[axis]
        _need(x, bool(((indices.values >= -size) & (indices.values < size)).all()), "such indices")
    return [Found(x[0].dtype, shape, _known(x, lambda v, at: np.take(v, at, axis)))]


@operator(2, 2, "GatherElements")
def _gathered_elements(x: Call) -> list[Found]:
    axis, shape, places = x.axis(0), x.shape(), x.shape(1)
    _need(x, len(shape) == len(places), "indices with as many axes as its input")
    kept = zip(shapes.replaced(shape, axis), shapes.replaced(places, axis))
    _need(x, all(place <= size for size, place in kept), "indices within its input")
    return _of(x, places)


@operator(2, 2, "ReverseSequence")
def _reversed(x: Call) -> list[Found]:
    if (x.attribute("time_axis", int), x.attribute("batch_axis", int)) != (0, 1):
        raise Unfit("has axes that no export gives it")
    _need(x, len(x.shape()) >= 2 and x.shape(1) == x.shape()[1:2], "a length for each example")
    return _of(x, x.shape())


# Reductions and orders


@operator(1, 1, "Softmax", "LogSoftmax")
def _softmax(x: Call) -> list[Found]:
    x.axis(-1)
    return _of(x, x.shape())


def _reduced(x: Call, axes: Sequence[int]) -> list[Found]:
    keeps, shape = x.flag("keepdims", 1), x.shape()
    x.multiplied = math.prod(shape[axis] for axis in axes)
    return _of(
        x,
        tuple(
            1 if axis in axes else size
            for axis, size in enumerate(shape)
            if keeps or axis not in axes
        ),
    )


@operator(1, 1, "ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2")
def _reduction(x: Call) -> list[Found]:
    return _reduced(x, shapes.axes_of(x.attribute("axes", tuple), x.shape()))


@operator(2, 2, "ReduceSum")
def _sum(x: Call) -> list[Found]:
    return _reduced(x, x.axes(1, x.shape()))


@operator(1, 1, "ArgMax", "ArgMin")
def _argument(x: Call) -> list[Found]:
    (found,) = _reduced(x, [x.axis(0)])
    return [Found("int64", found.shape)]


@operator(2, 2, "TopK")
def _top_k(x: Call) -> list[Found]:
    x.flag("largest", 1)
    axis, count = x.axis(-1), x.ints(1)
    _need(x, len(count) == 1 and 0 < count[0] <= x.shape()[axis], f"a count {count[:3]}")
    shape = shapes.replaced(x.shape(), axis, count[0])
    x.multiplied = math.ceil(math.log2(x.shape()[axis] + 1)) * x.shape()[axis] // count[0] + 1
    return [Found(x[0].dtype, shape), Found("int64", shape)]


@operator(2, 2, "CumSum")
def _cumulated(x: Call) -> list[Found]:
    shapes.axis_of(x.ints(1, 0)[0], x.shape())
    return _of(x, x.shape())
