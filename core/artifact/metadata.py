"""algorithm.json, the metadata of a model: its fields, and their limits."""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

from pydantic import BaseModel, ConfigDict, Field, field_validator
from typing_extensions import Literal

from ..data.reading import Headings
from .engines import FILE

METADATA = "algorithm.json"
SYMBOL = "model-symbol.json"
PARAMETERS = "model-0000.params"
ONNX = FILE  # after `algoshelf export` alone
LAYOUT_VERSION = 1
MAX_FAULTS = 10
RAGGED_LENGTH = 32  # for which a network is looked at whose examples differ in length
MAX_METADATA_BYTES = 64 * 2**20  # a vocabulary may be long
# Reading them takes up to 60 bytes each.
MAX_VALUES, MAX_CONTAINERS = 5_000_000, 100_000


class Example(BaseModel):
    """A request that the model can answer: a server warms up and proves itself by it."""

    content_type: str
    body: str


class InputSignature(BaseModel):
    """The network's input; 0 stands for a dimension that varies: the first, which is the batch,
    and the second where examples differ in length.
    """

    name: str = Field(default="data", min_length=1, max_length=200)
    shape: Tuple[int, ...] = Field(min_length=1, max_length=8)
    # of numpy's, what mxnet.nd.from_numpy takes: no int8
    dtype: Literal["float32", "float16", "int32", "int64", "uint8"] = "float32"

    @field_validator("shape")
    @classmethod
    def _check_shape(cls, shape: Tuple[int, ...]) -> Tuple[int, ...]:
        if shape[0] != 0 or not all(0 <= size < 2**31 for size in shape):
            raise ValueError("expected a list of sizes, the first of them 0 for the batch")
        if 0 in shape[2:]:
            raise ValueError(
                "only the first and the second size may be 0, which stands for any size"
            )
        return shape

    @property
    def one(self) -> Tuple[int, ...]:
        """The shape of a batch of one example, of RAGGED_LENGTH where examples differ in length."""
        return (1, *(size or RAGGED_LENGTH for size in self.shape[1:]))

    @property
    def is_ragged(self) -> bool:
        """Whether examples differ in length: a batch is then padded to its longest."""
        return 0 in self.shape[1:]


class Metadata(BaseModel):
    """``algorithm.json``. Nothing in it depends on when or where the training ran, but for the
    versions of packages and the number of threads, on which the numbers depend as well.
    """

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    layout_version: int = Field(default=LAYOUT_VERSION, ge=1)
    algorithm: str = Field(max_length=200)
    algorithm_version: str = Field(max_length=200)
    distribution: str = Field(
        default="", description="package that the algorithm is from, with its version"
    )
    hyperparameters: Dict[str, Any]
    seed: int
    input: InputSignature
    example: Example
    encoding: Dict[str, Any] = Field(
        default_factory=dict,
        description="numbering from the training, such as classes and vocabulary",
    )
    metrics: Dict[str, float] = Field(default_factory=dict)
    epoch: Optional[int] = Field(default=None, ge=0, description="epoch whose parameters these are")
    data: Dict[str, str] = Field(
        default_factory=dict, description="channel to the SHA-256 of the examples read from it"
    )
    examples: Dict[str, Dict[str, int]] = Field(
        default_factory=dict,
        description="channel to its number of examples, of files left out, of images inverted, "
        "and the like",
    )
    headings: Optional[Headings] = Field(
        default=None,
        description="of the columns of the tables that were read, by which later ones"
        " are taken; none where they had no headings",
    )
    origin: Dict[str, str] = Field(
        default_factory=dict,
        description="of a model from elsewhere, each file that it was made of to its SHA-256",
    )
    packages: Dict[str, str] = Field(default_factory=dict)
    threads: Optional[int] = Field(
        default=None,
        ge=1,
        description="of an operator in training, by whose number sums have their order",
    )
    sha256: Dict[Literal["model-symbol.json", "model-0000.params"], str] = Field(
        default_factory=dict
    )

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, encoding: Dict[str, Any]) -> Dict[str, Any]:
        faults = name_faults(encoding)
        if faults:
            raise ValueError("; ".join(faults[:MAX_FAULTS]))
        return encoding

    def document(self) -> bytes:
        """What ``algorithm.json`` holds. Raises ValueError, which says what it could not hold."""
        faults = [f"{path}: {what}" for path, what in _no_json(self.model_dump())]
        if faults:
            raise ValueError("; ".join(faults[:MAX_FAULTS]))
        document = self.model_dump(mode="json")
        text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        content = text.encode() + b"\n"
        if len(content) > MAX_METADATA_BYTES:
            raise ValueError(
                f"encoding: {METADATA} would have {len(content):,} bytes, expected at most "
                f"{MAX_METADATA_BYTES:,}: fewer classes, or a smaller vocabulary"
            )
        return content

    @property
    def classes(self) -> Tuple[str, ...]:
        """The names of the classes, in the order of the network's outputs; empty without any."""
        return tuple(self.encoding.get("classes", ()))


def excess_of(content: bytes) -> str:
    """Why reading a document would take much memory, or an empty string."""
    values = content.count(b",")
    containers = content.count(b"[") + content.count(b"{")
    if values <= MAX_VALUES and containers <= MAX_CONTAINERS:
        return ""
    return (
        f"holds {values:,} values in {containers:,} lists and objects, more than {MAX_VALUES:,} in "
        f"{MAX_CONTAINERS:,}"
    )


# What moves the cursor, ends a line or turns the direction of writing, and half characters.
# Unassigned ones are none of them: what is new to one Python is known to the next.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def name_faults(encoding: Mapping[str, Any]) -> list[str]:
    """What is wrong with the names of classes and targets in ``encoding``, a sentence a fault."""
    return [
        f"{kind}: {fault}"
        for kind in ("classes", "targets")
        for fault in _list_faults(encoding.get(kind, []))
    ]


def _list_faults(names: Any) -> list[str]:
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        return ["expected a list of names"]
    faults = [f"the name {name!a} is listed twice" for name, n in Counter(names).items() if n > 1]
    return faults + [fault for fault in map(name_fault, dict.fromkeys(names)) if fault]


def name_fault(name: str) -> str:
    """Why a class or a target cannot be called ``name``, or an empty string."""
    found = _HARMFUL.search(name)
    if found is None:
        return ""
    if "\ud800" <= found[0] <= "\udfff":
        return f"the name {_as_bytes(name)} is not UTF-8: rename it"
    return f"the name {name!a} holds the control character U+{ord(found[0]):04X}: rename it"


def _as_bytes(name: str) -> str:
    """A name as the file system has it, where Python could not read it as text."""
    try:
        return repr(os.fsencode(name))[1:]
    except UnicodeEncodeError:  # of no file system
        return ascii(name)


def _no_json(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Where in ``value`` stands what JSON cannot hold, and what is wrong with it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _no_json(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for place, inner in enumerate(value):
            yield from _no_json(inner, f"{path}[{place}]")
    elif isinstance(value, str):
        if not value.isascii() and re.search("[\ud800-\udfff]", value):
            yield path, f"{value[:80]!a} is not UTF-8"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield path, f"expected a finite number, got {value}"
    elif not (value is None or isinstance(value, (bool, int))):
        yield path, f"expected a JSON type, got {type(value).__name__}"
