"""Checks that train nothing: what the class declares, and what its source holds."""

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
MOST_IMPORT_RATIO = 2.0
LEAST_IMPORT_SECONDS = 0.3
SUMMARY_LENGTH = 120
GENERIC = frozenset(["list", "dict", "tuple", "set", "frozenset", "type"])


@check(otherwise="the attributes of the class are read when the catalog is: let none of them raise")
def metadata(battery: Battery) -> Iterator[Fault]:
    """The class declares all that the catalog shows, in the form that it is shown in."""
    cls = battery.cls
    if not issubclass(cls, Algorithm):
        yield Fault(
            f"{cls.__name__} is no subclass of Algorithm",
            "derive it from Classifier, SupervisedAlgorithm or Algorithm, of algoshelf.core",
        )
        return
    faults = declaration.faults(cls, battery.reserved)
    for fault in faults:
        yield Fault(fault, "set it as algoshelf.core.Algorithm declares it")
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
    yield from _content_types("answers", cls.answers)
    for name, meaning in cls.metrics.items():
        if not METRIC.fullmatch(name) or not meaning.strip():
            yield Fault(
                f"the metric {name!r} is described as {meaning!r}",
                "name it CHANNEL:METRIC, such as validation:accuracy, and say in words what "
                "it measures",
            )
    if not any(channel.required for channel in cls.channels):
        yield Fault(
            "no channel is required, so there may be nothing to learn from",
            "set required=True on the channel to learn from",
        )


def _content_types(attribute: str, declared: tuple[ContentType, ...]) -> Iterator[Fault]:
    names = [content_type.name for content_type in declared]
    if not names:
        yield Fault(f"{attribute} is empty", "declare at least one ContentType")
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Fault(f"{attribute} holds {name} twice", "declare each content type once")
    for content_type in declared:
        name = content_type.name
        if not MEDIA_TYPE.fullmatch(name) or payload.media_type(name) != name:
            yield Fault(
                f"{attribute} holds {name!r}, which no request will match",
                "write the media type in lower case, without parameters: "
                f"{payload.media_type(name)}",
            )
        if not content_type.description.strip():
            yield Fault(
                f"{attribute}: {name} has no description", "say what a body of this type holds"
            )


@check("metadata", otherwise="set objective to Objective(metric, maximize=…)")
def objective(battery: Battery) -> Iterator[Fault]:
    """The objective, and each published figure, is one of the metrics."""
    cls = battery.cls
    named = [("objective", cls.objective.metric)]
    named += [("published", result.metric) for result in cls.published]
    for attribute, metric in named:
        if metric not in cls.metrics:
            yield Fault(
                f"{attribute} names {metric!r}, which is no metric",
                f"name one of {', '.join(cls.metrics) or 'metrics, which is empty'}, or "
                "describe it in metrics",
            )


@check("metadata", otherwise="let Hyperparameters() and quick be valid")
def hyperparameter_defaults(battery: Battery) -> Iterator[Fault]:
    """Every hyperparameter has a meaning, each number a range; the defaults and ``quick`` fit."""
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
                f"{info.name} is a number without a range, so that a slip of the pen is "
                "trained with",
                f"{info.name}: … = Field(…, ge=…, le=…)",
            )
    try:
        settings(battery.cls)
    except HyperparameterError as error:
        yield Fault(
            f"no trial is possible: {error}",
            "give each hyperparameter a default in its range, or set it in quick",
        )


@check("hyperparameter-defaults", otherwise="parse() must take every value as a string")
def hyperparameter_strings(battery: Battery) -> Iterator[Fault]:
    """Values come as strings, as SageMaker sends them, and mean the same."""
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
                    "leave Hyperparameters.parse as it is, and let a validator of the field "
                    "take strings",
                )
    for name in values:
        hyphens = name.replace("_", "-")
        others = {other: value for other, value in values.items() if other != name}
        if cls.parse({**others, hyphens: values[name]}) != cls.parse(values):
            yield Fault(f"{hyphens} is not {name}", "leave Hyperparameters.parse as it is")


def _plainly(value: Any) -> str:
    """As ``str()`` writes it, where that is what people write; else JSON."""
    return str(value) if isinstance(value, (str, int, float, bool)) else json.dumps(value)


@check("hyperparameter-defaults", otherwise="what is out of range must raise HyperparameterError")
def hyperparameter_ranges(battery: Battery) -> Iterator[Fault]:
    """What is out of its range, of another type or unknown is refused, by name."""
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
                    f"{name} = {value!r} is refused without its name: {error}",
                    "raise ValueError in a validator of the field itself",
                )
        except Exception as error:
            yield Fault(
                f"{name} = {value!r} raises {battery.shown(error)}",
                "raise ValueError in validators, nothing else",
            )
        else:
            yield Fault(
                f"{name} = {value!r} is taken",
                "refuse it: let no validator bring a value into range, and no model_config "
                "allow what is unknown",
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


@check("hyperparameter-strings", otherwise="let every value be one that JSON has a form for")
def hyperparameter_round_trip(battery: Battery) -> Iterator[Fault]:
    """Hyperparameters come back from JSON, as the artifact keeps them, as they were."""
    typed = settings(battery.cls)
    text = json.dumps(typed.model_dump(mode="json"), allow_nan=False)
    read = battery.cls.Hyperparameters.parse(json.loads(text))
    for name in battery.cls.Hyperparameters.model_fields:
        one, other = getattr(typed, name), getattr(read, name)
        if one != other:
            yield Fault(
                f"{name} was {one!r} and is {other!r} after a round trip through JSON",
                "use a type that pydantic writes and reads as the same JSON, and no "
                "validator that changes a value twice",
            )


@check("metadata", otherwise="the source has to be readable as UTF-8")
def python_3_8(battery: Battery) -> Iterator[Fault]:
    """The source runs on Python 3.8, which AWS's MXNet images have."""
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
                f"{path}, line {line}: {what} is evaluated, which Python 3.8 cannot",
                "from __future__ import annotations; and in a class of hyperparameters, "
                "whose annotations pydantic evaluates, Optional[int], List[str] of typing",
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
        "the class has to be importable by its module's name, and its constructor to "
        "take no arguments"
    ),
)
def imports(battery: Battery) -> Iterator[Fault]:
    """Looking at it imports no mxnet, it never imports an AWS SDK, and of algoshelf only core."""
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
        return "leave it out: what trains and answers in a container has local files only, "
        "and may have no such package"
    if name.startswith(REGISTRY):
        return "import algoshelf.core only: the registry is not shipped into a container"
    if name == "mxnet":
        return (
            "from algoshelf.core import mx, which imports mxnet when it is first used, and use it "
            "within functions only: not even as the base of a class at the top of a module"
        )
    return "import it within the function that uses it, so that `algoshelf list` stays quick"


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


@check("imports", otherwise="the class has to be importable by its module's name")
def import_time(battery: Battery) -> Iterator[Fault]:
    """Importing it takes little, since every command imports every plugin."""
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
        "compute nothing at the top of the module, and import within functions what takes long"
        + (f" (it imports {', '.join(others[:20])})" if others else ""),
    )


def _limit(found: Mapping[str, Any]) -> float:
    return max(LEAST_IMPORT_SECONDS, MOST_IMPORT_RATIO * float(found["core_seconds"]))


@check("metadata", otherwise="sample() must return a dict of channel to path")
def sample(battery: Battery) -> Iterator[Fault]:
    """There is something to train on: a bundled sample, or channels that were given."""
    if not battery.channels:
        yield Fault(
            "it bundles no sample, and no channel was given",
            "override sample() with a small real sample, or give the check data: --channel "
            "train=PATH, or channels={'train': PATH}",
        )
        return
    try:
        check_channels(battery.cls.channels, battery.channels)
    except InputError as error:
        for fault in error.faults:
            yield Fault(
                fault,
                "let sample() name declared channels and files that are installed: list them "
                "in the package data of your distribution",
            )
