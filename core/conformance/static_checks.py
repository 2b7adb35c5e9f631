"""Conformance checks without training: what the class declares, and its source code."""

from __future__ import annotations

import ast
import json
import math
import re
from pathlib import Path
from typing import Any, Iterator, Mapping

from pydantic.fields import FieldInfo

from .. import payload
from ..algorithm import declaration
from ..algorithm.base import Algorithm, ContentType
from ..algorithm.channels import check_channels
from ..algorithm.hyperparameters import Hyperparameters
from ..runtime.errors import HyperparameterError, InputError
from ..training.provenance import sources
from . import child
from .battery import Battery, Fault, check
from .trial import settings

MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]*")
METRIC = re.compile(r"[a-z][a-z0-9_]*:[A-Za-z0-9_.@-]+")
AWS = ("boto3", "botocore", "sagemaker", "s3fs")
REGISTRY = "algoshelf.registry"
HEAVY = ("mxnet", "gluoncv", "gluonnlp", "torch", "tensorflow", *AWS, REGISTRY)
# Importing a plugin may take as long as importing core, twice over; below so much nobody notices.
MAX_IMPORT_RATIO = 2.0
LEAST_IMPORT_SECONDS = 0.3
SUMMARY_LENGTH = 120
GENERIC = frozenset(["list", "dict", "tuple", "set", "frozenset", "type"])


@check(
    otherwise="make every attribute of the class readable without an exception; the catalog "
    "reads them all"
)
def metadata(battery: Battery) -> Iterator[Fault]:
    """The class declares every attribute that the catalog needs, each with the right type."""
    cls = battery.cls
    if not issubclass(cls, Algorithm):
        yield Fault(
            f"{cls.__name__} is not a subclass of Algorithm",
            "derive it from Classifier, SupervisedAlgorithm or Algorithm in algoshelf.core",
        )
        return
    faults = declaration.faults(cls, battery.reserved)
    for fault in faults:
        yield Fault(fault, "set it to the type that algoshelf.core.Algorithm declares")
    if faults:
        return
    battery.algorithm  # noqa: B018 - a constructor that raises is a fault
    for name in ("task", "summary", "version"):
        text = getattr(cls, name)
        if not text.strip() or not text.isprintable() or len(text) > SUMMARY_LENGTH:
            yield Fault(
                f"{name} is {text!r}", f"set it to one line of 1 to {SUMMARY_LENGTH} characters"
            )
    yield from _content_types("accepts", cls.accepts)
    yield from _content_types("response_types", cls.response_types)
    for name, meaning in cls.metrics.items():
        if not METRIC.fullmatch(name) or not meaning.strip():
            yield Fault(
                f"the metric {name!r} is described as {meaning!r}",
                "name it CHANNEL:METRIC, such as validation:accuracy, and describe what it "
                "measures",
            )
    if not any(channel.required for channel in cls.channels):
        yield Fault(
            "no channel is required, so a training could start without data",
            "set required=True on the channel with the training data",
        )


def _content_types(attribute: str, declared: tuple[ContentType, ...]) -> Iterator[Fault]:
    names = [content_type.name for content_type in declared]
    if not names:
        yield Fault(f"{attribute} is empty", "declare at least one ContentType")
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Fault(f"{attribute} lists {name} twice", "declare each content type once")
    for content_type in declared:
        name = content_type.name
        if not MEDIA_TYPE.fullmatch(name) or payload.media_type(name) != name:
            yield Fault(
                f"{attribute} lists {name!r}, which no request can match",
                "write the media type in lower case, without parameters: "
                f"{payload.media_type(name)}",
            )
        if not content_type.description.strip():
            yield Fault(
                f"{attribute}: {name} has no description",
                "describe what a body of this type contains",
            )


@check("metadata", otherwise="set objective to Objective(metric, maximize=…)")
def objective(battery: Battery) -> Iterator[Fault]:
    """The objective metric, and the metric of each published result, is described in `metrics`."""
    cls = battery.cls
    named = [("objective", cls.objective.metric)]
    named += [("published", result.metric) for result in cls.published]
    for attribute, metric in named:
        if metric not in cls.metrics:
            yield Fault(
                f"{attribute} names {metric!r}, which metrics does not describe",
                "name one of the declared metrics "
                f"({', '.join(cls.metrics) or 'there are none'}), or "
                "add it to metrics",
            )


@check("metadata", otherwise="make Hyperparameters() and check_hyperparameters valid")
def hyperparameter_defaults(battery: Battery) -> Iterator[Fault]:
    """Every hyperparameter has a description, each number a range; the defaults and
    ``check_hyperparameters`` are valid.
    """
    cls = battery.cls.Hyperparameters
    for info in cls.describe():
        if not info.description.strip():
            yield Fault(
                f"{info.name} has no description",
                f'{info.name}: … = Field(…, description="what it does, with its unit")',
            )
        kinds = set(info.type.split(" or "))
        if kinds & {"int", "float"} and not info.range:
            yield Fault(
                f"{info.name} is a number without a range, so a typing mistake would be accepted",
                f"{info.name}: … = Field(…, ge=…, le=…)",
            )
    try:
        settings(battery.cls)
    except HyperparameterError as error:
        yield Fault(
            f"the defaults are not valid: {error}",
            "give each hyperparameter a default within its range, or a value in "
            "check_hyperparameters",
        )


@check("hyperparameter-defaults", otherwise="let parse() accept every value as a string")
def hyperparameter_strings(battery: Battery) -> Iterator[Fault]:
    """Hyperparameters given as strings, as SageMaker sends them, have the same values."""
    cls = battery.cls.Hyperparameters
    typed = settings(battery.cls)
    values = typed.model_dump(mode="json")
    for write in (json.dumps, _plainly):
        for name, value in values.items():
            text = write(value)
            read = cls.parse({**values, name: text})
            if getattr(read, name) != getattr(typed, name):
                yield Fault(
                    f"{name} as the string {text!r} becomes {getattr(read, name)!r}",
                    "do not override Hyperparameters.parse; let the field's validator accept "
                    "strings",
                )
    for name in values:
        hyphens = name.replace("_", "-")
        others = {other: value for other, value in values.items() if other != name}
        if cls.parse({**others, hyphens: values[name]}) != cls.parse(values):
            yield Fault(f"{hyphens} is not read as {name}", "do not override Hyperparameters.parse")


def _plainly(value: Any) -> str:
    """As ``str()`` writes it, where that is what people write; else JSON."""
    return str(value) if isinstance(value, (str, int, float, bool)) else json.dumps(value)


@check("hyperparameter-defaults", otherwise="raise HyperparameterError for values out of range")
def hyperparameter_ranges(battery: Battery) -> Iterator[Fault]:
    """A hyperparameter that is out of range, of a wrong type or unknown is refused by its name."""
    cls = battery.cls.Hyperparameters
    base = settings(battery.cls).model_dump(mode="json")
    wrong = [
        (name, value)
        for name, field in cls.model_fields.items()
        for value in _outside(cls, name, field)
    ]
    for name, value in [*wrong, ("no_such_hyperparameter", "1")]:
        try:
            cls.parse({**base, name: value})
        except HyperparameterError as error:
            if name not in str(error):
                yield Fault(
                    f"the error for {name} = {value!r} does not name the hyperparameter: {error}",
                    "raise ValueError in a validator of the field itself",
                )
        except Exception as error:
            yield Fault(
                f"{name} = {value!r} raises {battery.shown(error)}",
                "raise ValueError in validators, nothing else",
            )
        else:
            yield Fault(
                f"{name} = {value!r} is accepted",
                "refuse it: no validator may clip values into the range, and model_config may not "
                "allow unknown names",
            )


def _outside(cls: type[Hyperparameters], name: str, field: FieldInfo) -> Iterator[str]:
    """Strings that the field refuses, by what it declares."""
    info = next(info for info in cls.describe() if info.name == name)
    if info.type == "choice":
        yield "no-such-choice"
    kinds = set(info.type.split(" or "))
    if "str" in kinds or not kinds & {"int", "float"}:
        return
    yield "banana"
    for bound in field.metadata:
        for attribute, beyond in (("ge", -1), ("gt", 0), ("le", 1), ("lt", 0)):
            limit = getattr(bound, attribute, None)
            if isinstance(limit, (int, float)) and math.isfinite(limit):
                yield str(limit + beyond * max(1, abs(limit) if isinstance(limit, float) else 1))


@check("hyperparameter-strings", otherwise="use types that JSON can represent")
def hyperparameter_round_trip(battery: Battery) -> Iterator[Fault]:
    """Hyperparameters written to the artifact as JSON and read back are unchanged."""
    typed = settings(battery.cls)
    text = json.dumps(typed.model_dump(mode="json"), allow_nan=False)
    read = battery.cls.Hyperparameters.parse(json.loads(text))
    for name in battery.cls.Hyperparameters.model_fields:
        one, other = getattr(typed, name), getattr(read, name)
        if one != other:
            yield Fault(
                f"{name} was {one!r} and is {other!r} after a round trip through JSON",
                "use a type that pydantic writes to JSON and reads back unchanged, and no "
                "validator "
                "that changes a value again each time",
            )


@check("metadata", otherwise="save the source as UTF-8")
def python_3_8(battery: Battery) -> Iterator[Fault]:
    """The source code runs on Python 3.8, the version in AWS's MXNet images."""
    for path in sources(battery.cls):
        try:
            source = path.read_text(encoding="utf-8")
            tree = ast.parse(source, feature_version=(3, 8))
        except SyntaxError as error:
            yield Fault(
                f"{path}, line {error.lineno}: {error.msg}", "write it in the syntax of Python 3.8"
            )
            continue
        for line, what in _evaluated(source, tree):
            yield Fault(
                f"{path}, line {line}: Python 3.8 cannot evaluate {what}",
                "add `from __future__ import annotations`; in a class of hyperparameters, whose "
                "annotations pydantic evaluates, write Optional[int] and List[str] from typing",
            )


def _evaluated(source: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Annotations that Python, or pydantic, evaluates, and that came after 3.8."""
    postponed = any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body
    )
    for node in ast.walk(tree):
        found: list[ast.expr | None] = []
        if isinstance(node, ast.ClassDef) and any(
            "Hyperparameters" in ast.dump(base) for base in node.bases
        ):
            found = [item.annotation for item in node.body if isinstance(item, ast.AnnAssign)]
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not postponed:
            arguments = node.args
            named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            found = [node.returns, *(argument.annotation for argument in named)]
        elif isinstance(node, (ast.Module, ast.ClassDef)) and not postponed:
            found = [item.annotation for item in node.body if isinstance(item, ast.AnnAssign)]
        for annotation in filter(None, found):
            for part in ast.walk(annotation):
                if isinstance(part, ast.expr) and _is_newer(part):
                    yield part.lineno, ast.get_source_segment(source, part) or ""


def _is_newer(part: ast.expr) -> bool:
    """``X | Y``, or ``list[X]``."""
    if isinstance(part, ast.BinOp):
        return isinstance(part.op, ast.BitOr)
    generic = isinstance(part, ast.Subscript) and isinstance(part.value, ast.Name)
    return generic and part.value.id in GENERIC  # type: ignore[attr-defined]


@check(
    "metadata",
    otherwise=(
        "make the class importable by its module's name, with a constructor without arguments"
    ),
)
def imports(battery: Battery) -> Iterator[Fault]:
    """The module imports no mxnet at import time, no AWS SDK at all, and only algoshelf.core."""
    loaded = battery.described["modules"]
    for name in HEAVY:
        if name in loaded:
            yield Fault(
                f"importing {battery.cls.__module__} imports {name}{_where(battery, name)}",
                _instead_of(name),
            )
    for path in sources(battery.cls):
        for line, name in _imported(path):
            if name.split(".")[0] in AWS or f"{name}.".startswith(f"{REGISTRY}."):
                yield Fault(f"{path}, line {line}: {name} is imported", _instead_of(name))


def _instead_of(name: str) -> str:
    if name.split(".")[0] in AWS:
        return "remove it: training and serving in a container use local files only, and the "
        "package may not be installed there"
    if name.startswith(REGISTRY):
        return "import algoshelf.core only: the registry is not in the container"
    if name == "mxnet":
        return (
            "use `from algoshelf.core import mx`, which imports mxnet at its first use, and use mx "
            "inside functions only, also not as a base class at module level"
        )
    return "import it inside the function that uses it, so that `algoshelf list` stays fast"


def _where(battery: Battery, name: str) -> str:
    for path in sources(battery.cls):
        for line, imported in _imported(path):
            if imported.split(".")[0] == name:
                return f" ({path.name}, line {line})"
    return ""


def _imported(path: Path) -> Iterator[tuple[int, str]]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError:
        return  # of another check
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


@check("imports", otherwise="make the class importable by its module's name")
def import_time(battery: Battery) -> Iterator[Fault]:
    """The module is fast to import, since every command imports every plugin."""
    found = battery.described
    if found["seconds"] > _limit(found):
        found = child.describe(battery.cls)  # a machine may be busy for a moment
    if found["seconds"] <= _limit(found):
        return
    own = battery.cls.__module__.split(".")[0]
    others = sorted({name.split(".")[0] for name in found["modules"]} - {own, "algoshelf"})
    yield Fault(
        f"importing it takes {found['seconds']:.2f} s; importing all of core takes "
        f"{found['core_seconds']:.2f} s, and the limit is {_limit(found):.2f} s",
        "compute nothing at module level, and import slow modules inside functions"
        + (f" (it imports {', '.join(others[:20])})" if others else ""),
    )


def _limit(found: Mapping[str, Any]) -> float:
    return max(LEAST_IMPORT_SECONDS, MAX_IMPORT_RATIO * float(found["core_seconds"]))


@check("metadata", otherwise="return a dict of channel to path from sample()")
def sample(battery: Battery) -> Iterator[Fault]:
    """There is data to train on: a bundled sample, or channels given to the check."""
    if not battery.channels:
        yield Fault(
            "it bundles no sample, and no channel was given",
            "override sample() to return a small real sample, or give the check data with "
            "--channel "
            "train=PATH (in Python, channels={'train': PATH})",
        )
        return
    try:
        check_channels(battery.cls.channels, battery.channels)
    except InputError as error:
        for fault in error.faults:
            yield Fault(
                fault,
                "let sample() return declared channels and installed files: list the files in the "
                "package data of your distribution",
            )
