"""An ONNX graph while it is made: nodes and initializers, each under a name of its own."""

from __future__ import annotations

import re
from typing import Any, Iterable, Sequence, Tuple, Union

import numpy as np

from ...runtime.ort import library
from ...runtime.shapes import Attributes
from ...runtime.types import Array

# An axis is a number, or where it goes by the batch or the length the tuple of what it is for each
# of the inputs that the graph was fitted to: two axes are alike where these are.
Axis = Union[int, Tuple[int, ...]]
Dims = Tuple[Axis, ...]


class Unsupported(ValueError):  # noqa: N818 - what ONNX lacks is no fault of the reader's
    """What has no form in ONNX, as the end of a sentence."""


class Builder:
    """Nodes in their order, and the arrays that they take."""

    def __init__(self, reserved: Iterable[str]) -> None:
        self.nodes: list[Any] = []
        self.values: dict[str, Array] = {}
        self._taken = set(reserved)
        self._constants: dict[Any, str] = {}
        self._make = library("onnx").helper.make_node

    def unique(self, wanted: str) -> str:
        """``wanted``, with a number behind it where another has that name."""
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name

    def node(
        self, op: str, inputs: Sequence[str], outputs: int, name: str, **attributes: Any
    ) -> list[str]:
        """Add a node; the names of its outputs."""
        name = self.unique(f"{name}_{op}")
        given = [self.unique(f"{name}_{i}") for i in range(outputs)] if outputs > 1 else [name]
        self.nodes.append(self._make(op, list(inputs), given, name=name, **attributes))
        return given

    def constant(self, values: Array) -> str:
        """The name of an initializer with these values; those that are equal are one."""
        values = np.asarray(values, order="C")
        key = (str(values.dtype), values.shape, values.tobytes())
        if key not in self._constants:
            kind = re.sub(r"\W", "", str(values.dtype))
            name = self.unique(f"constant_{kind}_{len(self._constants)}")
            self.values[name] = values
            self._constants[key] = name
        return self._constants[key]


class Call:
    """One node of mxnet's graph: what it takes, and what it is to give.

    ``ins`` are the names of its inputs, ``shapes`` and ``dtypes`` what they are, ``outs`` and
    ``dtype`` the same of its outputs.
    """

    def __init__(
        self,
        builder: Builder,
        name: str,
        op: str,
        attributes: Attributes,
        ins: Sequence[str],
        shapes: Sequence[Dims],
        dtypes: Sequence[str],
        outs: Sequence[Dims],
        dtype: str,
    ) -> None:
        self._builder = builder
        self.name, self.op, self.a = name, op, attributes
        self.ins, self.shapes, self.dtypes = list(ins), list(shapes), list(dtypes)
        self.outs, self.dtype = list(outs), dtype

    def __call__(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator of ONNX's with one output, whose name it gives."""
        return self.several(op, 1, *inputs, **attributes)[0]

    def several(self, op: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        return self._builder.node(op, inputs, outputs, self.name, **attributes)

    def known(self, name: str) -> Array | None:
        """The values of a tensor that is the same for every input; None of any other."""
        return self._builder.values.get(name)

    def array(self, values: Any, dtype: str = "") -> str:
        """A constant, of the dtype of the first input unless told otherwise."""
        return self._builder.constant(np.asarray(values, dtype or self.dtypes[0]))

    def ints(self, *values: int) -> str:
        """Sizes or axes, (len,) int64."""
        return self._builder.constant(np.asarray(values, np.int64))

    def cast(self, name: str, dtype: str) -> str:
        onnx = library("onnx")
        return self("Cast", name, to=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def truth(self, name: str) -> str:
        """Where a number is not 0, as the booleans that ONNX has."""
        return self("Cast", name, to=library("onnx").TensorProto.BOOL)

    def static(self, i: int, axis: int) -> int:
        """The size of an axis of input ``i``. Raises Unsupported where it varies."""
        size = self.shapes[i][axis]
        if not isinstance(size, int):
            raise Unsupported(f"needs axis {axis} of its input to be of one size")
        return size

    def reshape(self, name: str, source: Dims, target: Dims) -> str:
        """``name`` of shape ``source`` as ``target``, whichever axes of both vary."""
        parts: list[Any] = []
        for axis, size in enumerate(target):
            if isinstance(size, int):
                parts.append(size)
            elif axis < len(source) and source[axis] == size:
                parts.append(0)  # as it is there
            elif size in source:
                parts.append(self("Slice", self("Shape", name), *self._one(source.index(size))))
            else:
                parts.append(-1)
        if parts.count(-1) > 1:
            raise Unsupported(f"makes {parts.count(-1)} axes of which ONNX cannot tell the size")
        varying = [place for place, part in enumerate(parts) if part == 0 or isinstance(part, str)]
        if len(varying) == 1 and -1 not in parts:
            parts[varying[0]] = -1  # what is left over
        if not any(isinstance(part, str) for part in parts):
            return self("Reshape", name, self.ints(*parts))
        parts = [part if isinstance(part, str) else self.ints(part) for part in parts]
        return self("Reshape", name, self("Concat", *parts, axis=0))

    def _one(self, place: int) -> tuple[str, str]:
        return self.ints(place), self.ints(place + 1)

    def size(self, name: str, axis: int) -> str:
        """The size of one axis when it computes, (1,) int64."""
        return self("Slice", self("Shape", name), *self._one(axis))
