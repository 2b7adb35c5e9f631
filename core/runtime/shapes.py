"""Shape inference: the output shapes of operators, computed without mxnet.

mxnet's own inference trusts attributes: an axis that is none writes beside its memory. So nothing
is asked of mxnet about a graph before everything in it has been found to fit, here. A function
takes the parsed attributes and the shapes of the inputs, and raises Unfit.
"""

from __future__ import annotations

import math
from typing import Any, Mapping, Sequence, Tuple

from .deprecated import keep_old_names

Shape = Tuple[int, ...]
Attributes = Mapping[str, Any]

MAX_AXES = 8


class Unfit(ValueError):  # noqa: N818 - what does not fit is no fault of the reader's
    """What does not fit, as the end of a sentence."""


def need(fits: bool, expected: str, ins: Sequence[Shape]) -> None:
    if not fits:
        raise Unfit(f"takes {expected}, and is given {', '.join(map(str, ins)) or 'nothing'}")


def axis_of(axis: int, shape: Shape) -> int:
    if not -len(shape) <= axis < len(shape):
        raise Unfit(f"has no axis {axis} in {shape}")
    return axis % len(shape)


def axes_of(axes: Any, shape: Shape) -> list[int]:
    """The axes named, or all where none is."""
    if axes is None or axes == ():
        return list(range(len(shape)))
    named = (axes,) if isinstance(axes, int) else axes
    found = [axis_of(axis, shape) for axis in named]
    if len(set(found)) < len(found):
        raise Unfit(f"names an axis twice: {axes}")
    return found


def replaced(shape: Shape, axis: int, *sizes: int) -> Shape:
    return (*shape[:axis], *sizes, *shape[axis + 1 :])


def same(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    need(all(shape == ins[0] for shape in ins), "inputs of one shape", ins)
    return [ins[0]]


def broadcast(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    length = max(map(len, ins))
    full = [(1,) * (length - len(shape)) + shape for shape in ins]
    out = tuple(max(sizes) for sizes in zip(*full))
    need(
        all(size in (1, most) for shape in full for size, most in zip(shape, out)),
        "inputs whose sizes agree or are 1",
        ins,
    )
    return [out]


def _spatial(a: Attributes, ins: Sequence[Shape]) -> tuple[Shape, Shape, Shape, Shape]:
    """Kernel, stride, dilation and padding, one number for each axis behind the channels."""
    kernel: Shape = a["kernel"]
    count = len(ins[0]) - 2
    filled = []
    for name, default in (("kernel", 1), ("stride", 1), ("dilate", 1), ("pad", 0)):
        value = a.get(name) or (default,) * count
        if len(value) != count:
            raise Unfit(f"has a {name} of {len(value)} numbers for an input {ins[0]}")
        filled.append(tuple(value))
    layout = a.get("layout")
    if not kernel or not 1 <= count <= 3 or (layout and len(layout) != count + 2):
        raise Unfit(f"does not fit its input {ins[0]}")
    return filled[0], filled[1], filled[2], filled[3]


def convolution(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    kernel, stride, dilate, pad = _spatial(a, ins)
    filters, groups, channels = a["num_filter"], a["num_group"], ins[0][1]
    need(channels % groups == 0 and filters % groups == 0, f"channels in {groups} groups", ins)
    weight = (filters, channels // groups, *kernel)
    need(ins[1] == weight, f"weights {weight}", ins)
    need(len(ins) == 2 or ins[2] == (filters,), f"a bias ({filters},)", ins)
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilate)]
    sizes = [
        (size + 2 * p - extent) // s + 1
        for size, extent, s, p in zip(ins[0][2:], extents, stride, pad)
    ]
    need(min(sizes) > 0, "an input as large as its kernel", ins)
    return [(ins[0][0], filters, *sizes)]


def deconvolution(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    kernel, stride, dilate, pad = _spatial(a, ins)
    filters, groups, channels = a["num_filter"], a["num_group"], ins[0][1]
    need(channels % groups == 0 and filters % groups == 0, f"channels in {groups} groups", ins)
    weight = (channels, filters // groups, *kernel)
    need(ins[1] == weight, f"weights {weight}", ins)
    need(len(ins) == 2 or ins[2] == (filters,), f"a bias ({filters},)", ins)
    adj = a["adj"] or (0,) * len(kernel)
    if len(adj) != len(kernel) or any(more >= s for more, s in zip(adj, stride)):
        raise Unfit(f"has adj {adj} with a stride of {stride}")
    sizes = [
        s * (size - 1) + d * (k - 1) + 1 - 2 * p + more
        for size, k, s, d, p, more in zip(ins[0][2:], kernel, stride, dilate, pad, adj)
    ]
    need(min(sizes) > 0, "an input that its padding leaves something of", ins)
    return [(ins[0][0], filters, *sizes)]


def pooling(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    count = len(ins[0]) - 2
    if a["global_pool"]:
        need(1 <= count <= 3, "(N, C, …)", ins)
        return [(*ins[0][:2], *(1,) * count)]
    kernel, stride, _, pad = _spatial(a, ins)
    need(all(p < k for p, k in zip(pad, kernel)), "less padding than its kernel", ins)
    up = a["pooling_convention"] == "full"
    sizes = []
    for size, k, s, p in zip(ins[0][2:], kernel, stride, pad):
        left = size + 2 * p - k
        need(left >= 0, "an input as large as its kernel", ins)
        sizes.append(1 + (-(-left // s) if up else left // s))
    return [(*ins[0][:2], *sizes)]


def fully_connected(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    data, units = ins[0], a["num_hidden"]
    need(len(data) >= 2 or not a["flatten"], "(N, …)", ins)
    width = math.prod(data[1:]) if a["flatten"] else data[-1]
    need(ins[1] == (units, width), f"weights ({units}, {width})", ins)
    need(len(ins) == 2 or ins[2] == (units,), f"a bias ({units},)", ins)
    return [(data[0], units) if a["flatten"] else (*data[:-1], units)]


def normalization(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    axis = axis_of(a.get("axis", 1), ins[0])
    channels = (ins[0][axis],)
    need(all(shape == channels for shape in ins[1:]), f"parameters {channels}", ins)
    return [ins[0]]


def group_normalization(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    groups = a["num_groups"]
    need(len(ins[0]) > 2 and ins[0][1] % groups == 0, f"channels in {groups} groups", ins)
    need(ins[1] == ins[2] == (groups,), f"parameters ({groups},)", ins)
    return [ins[0]]


def leaky(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    if len(ins) == 2:
        need(len(ins[0]) >= 2 and ins[1] in ((1,), (ins[0][1],)), "a slope a channel", ins)
    return [ins[0]]


def image_normalize(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    need(len(ins[0]) in (3, 4) and ins[0][-3] in (1, 3), "(N, 3, H, W) or (N, 1, H, W)", ins)
    for name in ("mean", "std"):
        if len(a[name]) not in (1, ins[0][-3]):
            raise Unfit(f"has {len(a[name])} numbers of {name} for {ins[0][-3]} channels")
    return [ins[0]]


def to_tensor(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    need(len(ins[0]) in (3, 4), "(N, H, W, C)", ins)
    *first, height, width, channels = ins[0]
    return [(*first, channels, height, width)]


def resized(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    need(len(ins[0]) == 4, "(N, C, H, W)", ins)
    return [(*ins[0][:2], a["height"], a["width"])]


def adaptive(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    need(len(ins[0]) == 4, "(N, C, H, W)", ins)
    size = a["output_size"] or (1,)
    return [(*ins[0][:2], size[0], size[-1])]


def upsampled(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    need(len(ins[0]) == 4, "(N, C, H, W)", ins)
    batch, channels, height, width = ins[0]
    return [(batch, channels, height * a["scale"], width * a["scale"])]


def depth_to_space(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    block = a["block_size"]
    need(len(ins[0]) == 4 and ins[0][1] % block**2 == 0, f"(N, C · {block}², H, W)", ins)
    batch, channels, height, width = ins[0]
    return [(batch, channels // block**2, height * block, width * block)]


def space_to_depth(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    block = a["block_size"]
    fits = len(ins[0]) == 4 and ins[0][2] % block == 0 and ins[0][3] % block == 0
    need(fits, f"(N, C, {block} · H, {block} · W)", ins)
    batch, channels, height, width = ins[0]
    return [(batch, channels * block**2, height // block, width // block)]


def padded(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    widths, shape = a["pad_width"], ins[0]
    need(len(shape) in (4, 5) and len(widths) == 2 * len(shape), "two widths an axis", ins)
    need(not any(widths[:4]), "no padding of examples and channels", ins)
    pairs = list(zip(widths[::2], widths[1::2]))
    if a["mode"] == "reflect":
        fits = all(max(pair) < size for pair, size in zip(pairs, shape))
        need(fits, "an input larger than its reflection", ins)
    return [tuple(size + sum(pair) for size, pair in zip(shape, pairs))]


def embedding(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    table = (a["input_dim"], a["output_dim"])
    need(ins[1] == table, f"a table {table}", ins)
    return [(*ins[0], table[1])]


def taken(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    return [replaced(ins[0], axis_of(a["axis"], ins[0]), *ins[1])]


def picked(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    axis = axis_of(a["axis"], ins[0])
    out, kept = replaced(ins[0], axis), replaced(ins[0], axis, 1)
    need(ins[1] in (out, kept) and bool(out), f"indices {kept}", ins)
    return [kept if a["keepdims"] else out]


def one_hot(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    return [(*ins[0], a["depth"])]


GATES = {"rnn_relu": 1, "rnn_tanh": 1, "gru": 3, "lstm": 4}


def recurrent(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    need(len(ins[0]) == 3, "(T, N, C)", ins)
    steps, batch, width = ins[0]
    units, layers = a["state_size"], a["num_layers"]
    ways = 2 if a["bidirectional"] else 1
    rows = ways * GATES[a["mode"]] * units
    size = 0
    for _ in range(layers):
        size += rows * (width + units + 2)
        width = ways * units
    need(ins[1] == (size,), f"({size},) parameters", ins)
    state = (layers * ways, batch, units)
    need(all(shape == state for shape in ins[2:]), f"states {state}", ins)
    return [(steps, batch, width), *([state] * (len(ins) - 2) if a["state_outputs"] else [])]


def sequence(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    need(len(ins[0]) >= 2, "(T, N, …)", ins)
    batch = (ins[0][1 - a["axis"]],)
    need(len(ins) == 1 or ins[1] == batch, f"lengths {batch}", ins)
    return [ins[0]]


def last_of_sequence(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    return [replaced(sequence(a, ins)[0], a["axis"])]


def softmax(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    lengths = replaced(ins[0], axis_of(a["axis"], ins[0]))
    need(len(ins) == 1 or ins[1] == lengths, f"lengths {lengths}", ins)
    return [ins[0]]


def along_axis(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    """As the input, whose attribute ``axis``, or each of ``axes``, has to be one of its axes."""
    axes_of(a.get("axis", a.get("axes")), ins[0])
    return [ins[0]]


def concatenated(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    axis = axis_of(a["dim"], ins[0])
    need(all(len(shape) == len(ins[0]) for shape in ins), "inputs of as many axes", ins)
    need(
        len({replaced(shape, axis) for shape in ins}) == 1,
        f"inputs that differ in axis {axis}",
        ins,
    )
    return [replaced(ins[0], axis, sum(shape[axis] for shape in ins))]


def stacked(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    same(a, ins)
    axis = axis_of(a["axis"], (*ins[0], 1))
    return [(*ins[0][:axis], len(ins), *ins[0][axis:])]


def split(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    count, axis = a["num_outputs"], axis_of(a["axis"], ins[0])
    return _parts([ins[0][axis] // count] * count, axis, a["squeeze_axis"], ins)


def split_v2(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    axis = axis_of(a["axis"], ins[0])
    size = ins[0][axis]
    if a["sections"]:
        return _parts([size // a["sections"]] * a["sections"], axis, a["squeeze_axis"], ins)
    borders = [*a["indices"], size]
    need(bool(a["indices"]) and borders[0] == 0, "places to split at, the first of them 0", ins)
    return _parts([b - o for o, b in zip(borders, borders[1:])], axis, a["squeeze_axis"], ins)


def _parts(sizes: list[int], axis: int, squeezes: bool, ins: Sequence[Shape]) -> list[Shape]:
    need(min(sizes) > 0 and sum(sizes) == ins[0][axis], f"{len(sizes)} parts of axis {axis}", ins)
    need(not squeezes or max(sizes) == 1, "parts of size 1 to squeeze", ins)
    return [replaced(ins[0], axis, *([] if squeezes else [size])) for size in sizes]


def sliced(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    shape = list(ins[0])
    step = a["step"] or (None,) * len(a["begin"])
    need(len(a["begin"]) == len(a["end"]) == len(step) <= len(shape), "an end a begin", ins)
    for axis, (begin, end, by) in enumerate(zip(a["begin"], a["end"], step)):
        begin, end = _range(begin, end, shape[axis], ins)
        shape[axis] = -(-(end - begin) // (by or 1))
    return [tuple(shape)]


def sliced_axis(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    axis = axis_of(a["axis"], ins[0])
    begin, end = _range(a["begin"], a["end"], ins[0][axis], ins)
    return [replaced(ins[0], axis, end - begin)]


def _range(begin: Any, end: Any, size: int, ins: Sequence[Shape]) -> tuple[int, int]:
    first = 0 if begin is None else begin + (size if begin < 0 else 0)
    last = size if end is None else min(size, end + (size if end < 0 else 0))
    need(0 <= first < last, f"an axis that reaches from {begin} to {end}", ins)
    return first, last


def sliced_like(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    shape, like = list(ins[0]), ins[1]
    for axis in axes_of(a["axes"], ins[0]):
        need(axis < len(like) and like[axis] <= shape[axis], "a second input within the first", ins)
        shape[axis] = like[axis]
    return [tuple(shape)]


def reshaped(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    codes, source = list(a["shape"]), list(ins[0])
    if a["reverse"]:
        need(min(codes, default=0) >= -1, "no code below -1 with reverse", ins)
        codes, source = codes[::-1], source[::-1]
    total = math.prod(source)
    out: list[int] = []
    at, i = 0, 0
    while i < len(codes):
        code = codes[i]
        taking = {0: 1, -2: len(source) - at, -3: 2, -4: 1}.get(code, 1)
        part = source[at : at + taking]
        need(code > 0 or code == -1 or len(part) == taking, f"as many axes as {a['shape']}", ins)
        if code == -4:
            need(i + 2 < len(codes), f"two sizes for -4 in {a['shape']}", ins)
            out += _two(codes[i + 1 : i + 3], part[0], ins)
            i += 2
        elif code == -3:
            out.append(part[0] * part[1])
        else:
            out += part if code in (0, -2) else [code]
        at += taking
        i += 1
    if -1 in out:
        known = math.prod(size for size in out if size != -1)
        need(out.count(-1) == 1 and known > 0 and total % known == 0, f"{a['shape']}", ins)
        out[out.index(-1)] = total // known
    need(bool(out) and math.prod(out) == total, f"as many numbers as {a['shape']}", ins)
    return [tuple(out[::-1] if a["reverse"] else out)]


def _two(sizes: list[int], whole: int, ins: Sequence[Shape]) -> list[int]:
    one, other = sizes
    need(max(sizes) > 0 and min(sizes) >= -1 and 0 not in sizes, "sizes for -4", ins)
    one = whole // other if one == -1 else one
    other = whole // one if other == -1 and one else other
    need(one * other == whole, f"an axis of {one} · {other}", ins)
    return [one, other]


def reshaped_like(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    left = slice(a["lhs_begin"], a["lhs_end"]).indices(len(ins[0]))
    right = slice(a["rhs_begin"], a["rhs_end"]).indices(len(ins[1]))
    need(left[0] <= left[1] and right[0] <= right[1], "axes in their order", ins)
    out = (*ins[0][: left[0]], *ins[1][right[0] : right[1]], *ins[0][left[1] :])
    need(bool(out) and math.prod(out) == math.prod(ins[0]), "as many numbers as there are", ins)
    return [out]


def flattened(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    need(len(ins[0]) >= 2, "(N, …)", ins)
    return [(ins[0][0], math.prod(ins[0][1:]))]


def transposed(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    axes = axes_of(a["axes"], ins[0]) if a["axes"] else list(range(len(ins[0])))[::-1]
    need(len(axes) == len(ins[0]) <= 6, "six axes at the most, each of them named", ins)
    return [tuple(ins[0][axis] for axis in axes)]


def swapped(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    one, other = axis_of(a["dim1"], ins[0]), axis_of(a["dim2"], ins[0])
    shape = list(ins[0])
    shape[one], shape[other] = shape[other], shape[one]
    return [tuple(shape)]


def expanded(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    axis = axis_of(a["axis"], (*ins[0], 1))
    return [(*ins[0][:axis], 1, *ins[0][axis:])]


def squeezed(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    named = axes_of(a["axis"], ins[0])
    if a["axis"] is None:
        named = [axis for axis in named if ins[0][axis] == 1]
    need(all(ins[0][axis] == 1 for axis in named), "axes of size 1", ins)
    return [tuple(size for axis, size in enumerate(ins[0]) if axis not in named) or (1,)]


def reduced(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    axes = axes_of(a["axis"], ins[0])
    if a.get("exclude"):
        axes = [axis for axis in range(len(ins[0])) if axis not in axes]
    if a["keepdims"]:
        return [tuple(1 if axis in axes else size for axis, size in enumerate(ins[0]))]
    return [tuple(size for axis, size in enumerate(ins[0]) if axis not in axes) or (1,)]


def broadcast_axis(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    need(len(a["axis"]) == len(a["size"]), "a size an axis", ins)
    shape = list(ins[0])
    for axis, size in zip(axes_of(a["axis"], ins[0]) if a["axis"] else (), a["size"]):
        need(shape[axis] == 1, f"size 1 in axis {axis}", ins)
        shape[axis] = size
    return [tuple(shape)]


def broadcast_to(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    need(len(a["shape"]) == len(ins[0]), f"as many axes as {a['shape']}", ins)
    target = tuple(size or own for size, own in zip(a["shape"], ins[0]))
    return _onto(target, ins)


def broadcast_like(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    return _onto(ins[1], ins)


def _onto(target: Shape, ins: Sequence[Shape]) -> list[Shape]:
    fits = len(ins[0]) == len(target) and all(own in (1, n) for own, n in zip(ins[0], target))
    need(fits, f"an input that {target} repeats", ins)
    return [target]


def tiled(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    length = max(len(ins[0]), len(a["reps"]))
    shape = (1,) * (length - len(ins[0])) + ins[0]
    reps = (1,) * (length - len(a["reps"])) + a["reps"]
    return [tuple(size * times for size, times in zip(shape, reps))]


def repeated(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    if a["axis"] is None:
        return [(math.prod(ins[0]) * a["repeats"],)]
    axis = axis_of(a["axis"], ins[0])
    return [replaced(ins[0], axis, ins[0][axis] * a["repeats"])]


def chosen(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    """``where``: the condition is of the shape of both others, or one for each of their rows."""
    need(ins[1] == ins[2], "two inputs of one shape", ins)
    need(ins[0] == ins[1] or ins[0] == ins[1][:1], "a condition of their shape", ins)
    return [ins[1]]


def highest(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    axis = axis_of(a["axis"], ins[0])
    need(a["k"] <= ins[0][axis], f"{a['k']} in axis {axis}", ins)
    out = ins[0] if a["ret_typ"] == "mask" else replaced(ins[0], axis, a["k"])
    return [out, out] if a["ret_typ"] == "both" else [out]


def accumulated(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    if a["axis"] is None:
        return [(math.prod(ins[0]),)]
    return along_axis(a, ins)


def product(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    """``dot`` of two matrices, ``batch_dot`` of as many."""
    count = len(ins[0])
    need(count == len(ins[1]) == a["axes"] and ins[0][:-2] == ins[1][:-2], "matrices", ins)
    rows, inner = ins[0][-2:][::-1] if a["transpose_a"] else ins[0][-2:]
    there, columns = ins[1][-2:][::-1] if a["transpose_b"] else ins[1][-2:]
    need(inner == there, "rows as long as the columns", ins)
    return [(*ins[0][:-2], rows, columns)]


def attention_scores(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    heads = a["heads"]
    need(len(ins[0]) == 3 and ins[0][2] % (3 * heads) == 0, f"(T, N, 3 · {heads} · D)", ins)
    length, batch, _ = ins[0]
    return [(batch * heads, length, length)]


def attention_values(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    need(ins[1] == attention_scores(a, ins)[0], "a score for each pair", ins)
    return [(*ins[0][:2], ins[0][2] // 3)]


def filled(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    """0 stands for the batch, as a state has it with which a recurrent layer begins."""
    return [tuple(size or 1 for size in a["shape"])]


def arange(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    start, stop = (0.0, a["start"]) if a["stop"] is None else (a["start"], a["stop"])
    if not a["step"] or not 1 <= (stop - start) / a["step"] <= 2**24:
        raise Unfit(f"counts from {start:g} to {stop:g} by {a['step']:g}")
    return [(math.ceil((stop - start) / a["step"]) * a["repeat"],)]


def arange_like(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    return [ins[0] if a["axis"] is None else (ins[0][axis_of(a["axis"], ins[0])],)]


def shape_array(a: Attributes, ins: Sequence[Shape]) -> list[Shape]:
    return [(len(ins[0]),)]


keep_old_names(__name__, "runtime.shapes")
