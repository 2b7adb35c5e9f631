"""The list of operators that a model may contain, which ``graph.py`` holds it against.

An allow-list: what the networks of this catalog, of Gluon's and GluonCV's model zoos and of
GluonNLP's encoders export, and the arithmetic of a network that someone writes. Left out is all
that follows addresses, calls back, opens files, holds graphs of its own, indexes without a bound,
draws at random, or waits for others. A test holds names and attributes against mxnet's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Sequence, Tuple, Union

from . import shapes
from .attributes import (
    AXES,
    AXIS,
    COUNT,
    DTYPE,
    INDEX,
    NATURAL,
    PADS,
    SHAPE,
    SIZES,
    Kind,
    boolean,
    choice,
    each,
    missing_or,
    number,
    or_none,
    whole,
)
from .shapes import Attributes, Shape

REQUIRED = object()
Count = Union[int, Callable[[Attributes], int]]
Attribute = Tuple[Kind, Any]  # and the default, or REQUIRED


@dataclass(frozen=True)
class Operator:
    """``inputs`` is how many it takes, ``shape`` what it makes of theirs, ``work`` how many
    multiplications that takes about; ``states`` are the inputs that training changes by itself.
    """

    inputs: Count
    shape: Callable[[Attributes, Sequence[Shape]], list[Shape]]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    outputs: Count = 1
    work: Callable[[Attributes, Sequence[Shape], Sequence[Shape]], int] = lambda a, ins, outs: sum(
        math.prod(shape) for shape in (*ins, *outs)
    )
    states: tuple[int, ...] = ()


def _kernel_work(a: Attributes, ins: Sequence[Shape], outs: Sequence[Shape]) -> int:
    return math.prod(outs[0]) * math.prod(ins[1][1:])


def _transposed_work(a: Attributes, ins: Sequence[Shape], outs: Sequence[Shape]) -> int:
    return math.prod(ins[0]) * math.prod(ins[1][1:])


def _pooling_work(a: Attributes, ins: Sequence[Shape], outs: Sequence[Shape]) -> int:
    if a["global_pool"]:
        return math.prod(ins[0])
    return math.prod(outs[0]) * math.prod(a["kernel"])


def _dense_work(a: Attributes, ins: Sequence[Shape], outs: Sequence[Shape]) -> int:
    return math.prod(outs[0]) * ins[1][1]


def _product_work(a: Attributes, ins: Sequence[Shape], outs: Sequence[Shape]) -> int:
    return math.prod(outs[0]) * ins[0][-2 if a["transpose_a"] else -1]


def _recurrent_work(a: Attributes, ins: Sequence[Shape], outs: Sequence[Shape]) -> int:
    return ins[0][0] * ins[0][1] * ins[1][0]


def _attention_work(a: Attributes, ins: Sequence[Shape], outs: Sequence[Shape]) -> int:
    return math.prod(ins[0]) * ins[0][0]


def _sorting_work(a: Attributes, ins: Sequence[Shape], outs: Sequence[Shape]) -> int:
    return 64 * math.prod(ins[0])


FALSE: Attribute = (boolean, False)
LEAST = number(0)
NUMBER = number()
LAYOUT: Attribute = (or_none(choice("NCW", "NCHW", "NCDHW")), None)
IGNORED: dict[str, Attribute] = {  # on GPUs alone
    "workspace": (NATURAL, 0),
    "cudnn_tune": (missing_or(choice("off", "limited_workspace", "fastest")), None),
    "cudnn_off": (or_none(boolean), False),
}
SCALAR: dict[str, Attribute] = {"scalar": (NUMBER, REQUIRED), "is_int": FALSE}
REDUCTION: dict[str, Attribute] = {
    "axis": (or_none(AXES), None),
    "keepdims": FALSE,
    "exclude": FALSE,
}
FILTERS: dict[str, Attribute] = {
    "kernel": (SIZES, REQUIRED),
    "stride": (SIZES, ()),
    "dilate": (SIZES, ()),
    "pad": (PADS, ()),
    "num_filter": (COUNT, REQUIRED),
    "num_group": (COUNT, 1),
    "layout": LAYOUT,
    **IGNORED,
}
SOFTMAX: dict[str, Attribute] = {
    "axis": (AXIS, -1),
    "temperature": (or_none(number(1e-6, 1e6)), None),
    "dtype": (missing_or(None), None),
    "use_length": (or_none(boolean), False),
}
FILLED: dict[str, Attribute] = {
    "shape": (SHAPE, REQUIRED),
    "ctx": (missing_or(None), None),
    "dtype": (DTYPE, "float32"),
}
SEQUENCE: dict[str, Attribute] = {"axis": (whole(0, 1), 0), "use_sequence_length": FALSE}
PRODUCT: dict[str, Attribute] = {
    "transpose_a": FALSE,
    "transpose_b": FALSE,
    "forward_stype": (missing_or(None), None),
}


def _with_bias(count: int) -> Count:
    return lambda a: count - bool(a["no_bias"])


def _listed(a: Attributes) -> int:
    return int(a["num_args"])


def _with_lengths(a: Attributes) -> int:
    return 1 + bool(a["use_sequence_length"])


LISTED: dict[str, Attribute] = {"num_args": (whole(1, 1000), REQUIRED)}

OPERATORS: dict[str, Operator] = {
    "Convolution": Operator(
        _with_bias(3), shapes.convolution, {**FILTERS, "no_bias": FALSE}, work=_kernel_work
    ),
    "Deconvolution": Operator(
        _with_bias(3),
        shapes.deconvolution,
        {
            **FILTERS,
            "no_bias": (boolean, True),
            "adj": (PADS, ()),
            "target_shape": (missing_or(None), None),
        },
        work=_transposed_work,
    ),
    "Pooling": Operator(
        1,
        shapes.pooling,
        {
            "kernel": (SIZES, ()),
            "stride": (SIZES, ()),
            "pad": (PADS, ()),
            "pool_type": (choice("avg", "max", "sum"), "max"),
            "global_pool": FALSE,
            "pooling_convention": (choice("valid", "full"), "valid"),
            "count_include_pad": (or_none(boolean), None),
            "p_value": (missing_or(None), None),
            "cudnn_off": FALSE,
            "layout": LAYOUT,
        },
        work=_pooling_work,
    ),
    "FullyConnected": Operator(
        _with_bias(3),
        shapes.fully_connected,
        {"num_hidden": (COUNT, REQUIRED), "no_bias": FALSE, "flatten": (boolean, True)},
        work=_dense_work,
    ),
    "BatchNorm": Operator(
        5,
        shapes.normalization,
        {
            "axis": (AXIS, 1),
            "eps": (LEAST, 1e-3),
            "momentum": (number(0, 1), 0.9),
            "fix_gamma": (boolean, True),
            "use_global_stats": FALSE,
            "output_mean_var": (choice("False"), False),
            "cudnn_off": FALSE,
        },
        states=(3, 4),
    ),
    "LayerNorm": Operator(
        3,
        shapes.normalization,
        {"axis": (AXIS, -1), "eps": (LEAST, 1e-5), "output_mean_var": (choice("False"), False)},
    ),
    "GroupNorm": Operator(
        3,
        shapes.group_normalization,
        {
            "num_groups": (COUNT, 1),
            "eps": (LEAST, 1e-5),
            "output_mean_var": (choice("False"), False),
        },
    ),
    "InstanceNorm": Operator(3, shapes.normalization, {"eps": (LEAST, 1e-3)}),
    "L2Normalization": Operator(
        1,
        shapes.normalization,
        {"eps": (LEAST, 1e-10), "mode": (choice("instance", "channel", "spatial"), "instance")},
    ),
    "LRN": Operator(
        1,
        shapes.normalization,
        {
            "alpha": (NUMBER, 1e-4),
            "beta": (NUMBER, 0.75),
            "knorm": (NUMBER, 2.0),
            "nsize": (choice("1", "3", "5", "7", "9", "11"), REQUIRED),
        },
    ),
    "Activation": Operator(
        1,
        shapes.same,
        {"act_type": (choice("relu", "sigmoid", "softrelu", "softsign", "tanh"), REQUIRED)},
    ),
    "LeakyReLU": Operator(
        lambda a: 1 + (a["act_type"] == "prelu"),
        shapes.leaky,
        {
            "act_type": (choice("leaky", "prelu", "elu", "selu", "gelu"), "leaky"),
            "slope": (NUMBER, 0.25),
            "lower_bound": (NUMBER, 0.125),  # of rrelu alone
            "upper_bound": (NUMBER, 0.334),
        },
    ),
    "Dropout": Operator(
        1,
        shapes.along_axis,
        {
            "p": (number(0, 0.9999), 0.5),
            "mode": (choice("training"), "training"),
            "axes": (AXES, ()),
            "cudnn_off": (or_none(boolean), False),
        },
    ),
    "softmax": Operator(lambda a: 1 + bool(a["use_length"]), shapes.softmax, SOFTMAX),
    "log_softmax": Operator(lambda a: 1 + bool(a["use_length"]), shapes.softmax, SOFTMAX),
    "softmin": Operator(lambda a: 1 + bool(a["use_length"]), shapes.softmax, SOFTMAX),
    "_image_normalize": Operator(
        1,
        shapes.image_normalize,
        {"mean": (each(NUMBER, 4), REQUIRED), "std": (each(NUMBER, 4), REQUIRED)},
    ),
    "_image_to_tensor": Operator(1, shapes.to_tensor),
    "_contrib_BilinearResize2D": Operator(
        1,
        shapes.resized,
        {
            "height": (whole(1, 2**16), REQUIRED),
            "width": (whole(1, 2**16), REQUIRED),
            "mode": (choice("size"), "size"),
            "align_corners": (boolean, True),
            "scale_height": (missing_or(None), None),
            "scale_width": (missing_or(None), None),
        },
    ),
    "_contrib_AdaptiveAvgPooling2D": Operator(
        1, shapes.adaptive, {"output_size": (each(whole(1, 2**16), 2), ())}
    ),
    "UpSampling": Operator(
        1,
        shapes.upsampled,
        {
            "scale": (whole(1, 1024), REQUIRED),
            "sample_type": (choice("nearest"), REQUIRED),
            "num_args": (choice("1"), REQUIRED),
            "num_filter": (NATURAL, 0),
            "multi_input_mode": (choice("concat", "sum"), "concat"),
            "workspace": (NATURAL, 0),
        },
    ),
    "depth_to_space": Operator(
        1, shapes.depth_to_space, {"block_size": (whole(1, 1024), REQUIRED)}
    ),
    "space_to_depth": Operator(
        1, shapes.space_to_depth, {"block_size": (whole(1, 1024), REQUIRED)}
    ),
    "Pad": Operator(
        1,
        shapes.padded,
        {
            "mode": (choice("constant", "edge", "reflect"), REQUIRED),
            "pad_width": (each(whole(0, 2**16), 10), REQUIRED),
            "constant_value": (NUMBER, 0.0),
        },
    ),
    "Embedding": Operator(
        2,
        shapes.embedding,
        {
            "input_dim": (COUNT, REQUIRED),
            "output_dim": (COUNT, REQUIRED),
            "dtype": (DTYPE, "float32"),
            "sparse_grad": FALSE,
        },
        work=lambda a, ins, outs: math.prod(outs[0]),
    ),
    "take": Operator(
        2,
        shapes.taken,
        {"axis": (AXIS, 0), "mode": (choice("clip", "wrap"), "clip")},
        work=lambda a, ins, outs: math.prod(outs[0]),
    ),
    "pick": Operator(
        2,
        shapes.picked,
        {"axis": (AXIS, -1), "keepdims": FALSE, "mode": (choice("clip", "wrap"), "clip")},
    ),
    "one_hot": Operator(
        1,
        shapes.one_hot,
        {
            "depth": (COUNT, REQUIRED),
            "on_value": (NUMBER, 1.0),
            "off_value": (NUMBER, 0.0),
            "dtype": (DTYPE, "float32"),
        },
    ),
    "RNN": Operator(
        lambda a: 3 + (a["mode"] == "lstm"),
        shapes.recurrent,
        {
            "state_size": (whole(1, 2**16), REQUIRED),
            "num_layers": (whole(1, 64), REQUIRED),
            "bidirectional": FALSE,
            "mode": (choice(*shapes.GATES), REQUIRED),
            "p": (number(0, 0.9999), 0.0),
            "state_outputs": FALSE,
            "projection_size": (missing_or(None), None),
            "lstm_state_clip_min": (missing_or(None), None),
            "lstm_state_clip_max": (missing_or(None), None),
            "lstm_state_clip_nan": FALSE,
            "use_sequence_length": (choice("False"), False),
        },
        outputs=lambda a: 1 + a["state_outputs"] * (1 + (a["mode"] == "lstm")),
        work=_recurrent_work,
    ),
    "SequenceMask": Operator(_with_lengths, shapes.sequence, {**SEQUENCE, "value": (NUMBER, 0.0)}),
    "SequenceReverse": Operator(
        _with_lengths, shapes.sequence, {**SEQUENCE, "axis": (choice("0"), 0)}
    ),
    "SequenceLast": Operator(_with_lengths, shapes.last_of_sequence, SEQUENCE),
    "Concat": Operator(_listed, shapes.concatenated, {**LISTED, "dim": (AXIS, 1)}),
    "_rnn_param_concat": Operator(_listed, shapes.concatenated, {**LISTED, "dim": (AXIS, 1)}),
    "stack": Operator(_listed, shapes.stacked, {**LISTED, "axis": (AXIS, 0)}),
    "add_n": Operator(_listed, shapes.same, LISTED),
    "SliceChannel": Operator(
        1,
        shapes.split,
        {"num_outputs": (whole(1, 1000), REQUIRED), "axis": (AXIS, 1), "squeeze_axis": FALSE},
        outputs=lambda a: int(a["num_outputs"]),
    ),
    "_split_v2": Operator(
        1,
        shapes.split_v2,
        {
            "indices": (each(NATURAL, 1000), REQUIRED),
            "axis": (AXIS, 1),
            "squeeze_axis": FALSE,
            "sections": (whole(0, 1000), 0),
        },
        outputs=lambda a: int(a["sections"] or len(a["indices"])),
    ),
    "slice": Operator(
        1,
        shapes.sliced,
        {
            "begin": (each(or_none(INDEX)), REQUIRED),
            "end": (each(or_none(INDEX)), REQUIRED),
            "step": (each(or_none(COUNT)), ()),
        },
    ),
    "slice_axis": Operator(
        1,
        shapes.sliced_axis,
        {"axis": (AXIS, REQUIRED), "begin": (INDEX, REQUIRED), "end": (or_none(INDEX), REQUIRED)},
    ),
    "slice_like": Operator(2, shapes.sliced_like, {"axes": (AXES, ())}),
    "Reshape": Operator(
        1,
        shapes.reshaped,
        {
            "shape": (each(whole(-4)), REQUIRED),
            "reverse": FALSE,
            "target_shape": (missing_or(None), None),
            "keep_highest": (choice("False", "0"), False),
        },
    ),
    "reshape_like": Operator(
        2,
        shapes.reshaped_like,
        {name: (or_none(AXIS), None) for name in ("lhs_begin", "lhs_end", "rhs_begin", "rhs_end")},
    ),
    "Flatten": Operator(1, shapes.flattened),
    "transpose": Operator(1, shapes.transposed, {"axes": (AXES, ())}),
    "SwapAxis": Operator(1, shapes.swapped, {"dim1": (AXIS, 0), "dim2": (AXIS, 0)}),
    "expand_dims": Operator(1, shapes.expanded, {"axis": (AXIS, REQUIRED)}),
    "squeeze": Operator(1, shapes.squeezed, {"axis": (or_none(AXES), None)}),
    "reverse": Operator(1, shapes.along_axis, {"axis": (AXES, REQUIRED)}),
    "tile": Operator(1, shapes.tiled, {"reps": (each(COUNT), REQUIRED)}),
    "repeat": Operator(
        1, shapes.repeated, {"repeats": (COUNT, REQUIRED), "axis": (or_none(AXIS), None)}
    ),
    "broadcast_axis": Operator(
        1, shapes.broadcast_axis, {"axis": (AXES, ()), "size": (each(COUNT), ())}
    ),
    "broadcast_to": Operator(1, shapes.broadcast_to, {"shape": (SHAPE, REQUIRED)}),
    "broadcast_like": Operator(
        2,
        shapes.broadcast_like,
        {"lhs_axes": (missing_or(None), None), "rhs_axes": (missing_or(None), None)},
    ),
    "argmax": Operator(1, shapes.reduced, {"axis": (or_none(AXIS), None), "keepdims": FALSE}),
    "argmin": Operator(1, shapes.reduced, {"axis": (or_none(AXIS), None), "keepdims": FALSE}),
    "norm": Operator(
        1,
        shapes.reduced,
        {
            "ord": (choice("1", "2"), 2),
            "axis": (or_none(AXES), None),
            "out_dtype": (missing_or(None), None),
            "keepdims": FALSE,
        },
    ),
    "topk": Operator(
        1,
        shapes.highest,
        {
            "axis": (AXIS, -1),
            "k": (COUNT, 1),
            "ret_typ": (choice("value", "indices", "mask", "both"), "indices"),
            "is_ascend": FALSE,
            "dtype": (DTYPE, "float32"),
        },
        outputs=lambda a: 1 + (a["ret_typ"] == "both"),
        work=_sorting_work,
    ),
    "sort": Operator(
        1, shapes.along_axis, {"axis": (AXIS, -1), "is_ascend": (boolean, True)}, work=_sorting_work
    ),
    "argsort": Operator(
        1,
        shapes.along_axis,
        {"axis": (AXIS, -1), "is_ascend": (boolean, True), "dtype": (DTYPE, "float32")},
        work=_sorting_work,
    ),
    "cumsum": Operator(
        1, shapes.accumulated, {"axis": (or_none(AXIS), None), "dtype": (missing_or(None), None)}
    ),
    "dot": Operator(
        2, lambda a, ins: shapes.product({**a, "axes": 2}, ins), PRODUCT, work=_product_work
    ),
    "batch_dot": Operator(
        2, lambda a, ins: shapes.product({**a, "axes": 3}, ins), PRODUCT, work=_product_work
    ),
    "_contrib_interleaved_matmul_selfatt_qk": Operator(
        1, shapes.attention_scores, {"heads": (COUNT, REQUIRED)}, work=_attention_work
    ),
    "_contrib_interleaved_matmul_selfatt_valatt": Operator(
        2, shapes.attention_values, {"heads": (COUNT, REQUIRED)}, work=_attention_work
    ),
    "where": Operator(3, shapes.chosen),
    "Cast": Operator(1, shapes.same, {"dtype": (DTYPE, REQUIRED)}),
    "clip": Operator(1, shapes.same, {"a_min": (NUMBER, REQUIRED), "a_max": (NUMBER, REQUIRED)}),
    "hard_sigmoid": Operator(1, shapes.same, {"alpha": (NUMBER, 0.2), "beta": (NUMBER, 0.5)}),
    "smooth_l1": Operator(1, shapes.same, {"scalar": (NUMBER, 1.0), "is_int": FALSE}),
    "_zeros": Operator(0, shapes.filled, FILLED),
    "_ones": Operator(0, shapes.filled, FILLED),
    "_full": Operator(0, shapes.filled, {**FILLED, "value": (NUMBER, REQUIRED)}),
    "_arange": Operator(
        0,
        shapes.arange,
        {
            "start": (NUMBER, REQUIRED),
            "stop": (or_none(NUMBER), None),
            "step": (NUMBER, 1.0),
            "repeat": (COUNT, 1),
            "infer_range": (choice("False"), False),
            "ctx": (missing_or(None), None),
            "dtype": (DTYPE, "float32"),
        },
    ),
    "_contrib_arange_like": Operator(
        1,
        shapes.arange_like,
        {
            "start": (NUMBER, 0.0),
            "step": (NUMBER, 1.0),
            "repeat": (choice("1"), 1),
            "ctx": (missing_or(None), None),
            "axis": (or_none(AXIS), None),
        },
    ),
    "shape_array": Operator(1, shapes.shape_array),
    "size_array": Operator(1, lambda a, ins: [(1,)]),
}

_ONE = """
    _copy BlockGrad _contrib_div_sqrt_dim abs arccos arccosh arcsin arcsinh arctan arctanh cbrt ceil
    cos cosh degrees erf erfinv exp expm1 fix floor gamma gammaln log log10 log1p log2 logical_not
    negative ones_like radians rcbrt reciprocal relu rint round rsqrt sigmoid sign sin sinh softsign
    sqrt square tan tanh trunc zeros_like
"""
_TWO = """
    elemwise_add elemwise_div elemwise_mul elemwise_sub _equal _greater _greater_equal _hypot
    _lesser _lesser_equal _logical_and _logical_or _logical_xor _maximum _minimum _mod _not_equal
    _power
"""
_BROADCAST = """
    add div equal greater greater_equal hypot lesser lesser_equal logical_and logical_or logical_xor
    maximum minimum mod mul not_equal power sub
"""
_SCALAR = """
    div equal greater greater_equal hypot lesser lesser_equal logical_and logical_or logical_xor
    maximum minimum minus mod mul not_equal plus power rdiv rminus rmod rpower
"""
OPERATORS.update({name: Operator(1, shapes.same) for name in _ONE.split()})
OPERATORS.update({name: Operator(2, shapes.same) for name in _TWO.split()})
OPERATORS.update(
    {f"broadcast_{name}": Operator(2, shapes.broadcast) for name in _BROADCAST.split()}
)
OPERATORS.update({f"_{name}_scalar": Operator(1, shapes.same, SCALAR) for name in _SCALAR.split()})
OPERATORS.update(
    {
        name: Operator(1, shapes.reduced, REDUCTION)
        for name in ("max", "mean", "min", "nanprod", "nansum", "prod", "sum")
    }
)
# Of whole numbers these divide, on which the processor traps where the divisor is 0.
DIVIDING = frozenset(name for name in OPERATORS if "div" in name or "mod" in name)
DIVIDING |= {"reciprocal", "_power_scalar", "_rpower_scalar", "_power", "broadcast_power", "mean"}
# These begin at, or go up to, a place that an input names, which mxnet takes on trust.
LENGTHS = frozenset(
    ["SequenceLast", "SequenceMask", "SequenceReverse", "log_softmax", "softmax", "softmin"]
)
# These take inputs of different dtypes; all others would be refused by mxnet when they compute.
MIXED = LENGTHS | frozenset(
    ["BatchNorm", "Embedding", "broadcast_like", "pick", "reshape_like", "slice_like", "take"]
)
MIXED |= {"where"}
# The dtype of what they give is not that of what they take.
TYPED: dict[str, Callable[[Attributes, Sequence[str]], str]] = {
    **dict.fromkeys(
        ["Cast", "_arange", "_full", "_ones", "_zeros", "one_hot", "argsort", "topk"],
        lambda a, ins: str(a["dtype"]),
    ),
    **dict.fromkeys(
        ["argmax", "argmin", "_image_normalize", "_image_to_tensor"], lambda a, ins: "float32"
    ),
    **dict.fromkeys(["shape_array", "size_array"], lambda a, ins: "int64"),
    **dict.fromkeys(["Embedding", "where"], lambda a, ins: ins[1]),
}
