"""Check what an algorithm's class declares, such as names of hyperparameters, before any run."""

from __future__ import annotations

import inspect
import re
import reprlib
from collections import Counter
from dataclasses import fields, is_dataclass
from types import MappingProxyType
from typing import Any, Callable, Iterable, Iterator, Mapping

from .base import Algorithm, ContentType, Objective, PublishedResult
from .channels import TEST, TRAIN, VALIDATION, Channel
from .hyperparameters import Hyperparameters
from .search_space import range_faults
from .widgets import fault as widget_fault

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
FLAG = re.compile(r"[a-z][a-z0-9_]*")
# What a training job takes beside an algorithm's hyperparameters; how SageMaker's own begin.
SEED, CHECKPOINT_EVERY, BENCHMARK = "seed", "checkpoint_every", "benchmark"
OF_JOBS = MappingProxyType(dict.fromkeys((SEED, CHECKPOINT_EVERY, BENCHMARK), "of a training job"))
OF_SAGEMAKER = "sagemaker_"
# Flags of nearly every algorithm.
CHANNELS = MappingProxyType({name: f"--{name}, a channel" for name in (TRAIN, VALIDATION, TEST)})


def faults(cls: type[Algorithm[Any]], reserved: Mapping[str, str] = OF_JOBS) -> list[str]:
    """Why the catalog cannot offer ``cls``, a sentence each; none where it can.

    ``reserved`` are the names that no channel and no hyperparameter may have, with what has each:
    a channel or hyperparameter so called could not be given.
    """
    tuned = _attribute(cls, "Hyperparameters", Hyperparameters)
    return [
        *_missing(cls),
        *_wrong_attributes(cls),
        *_wrong_names(cls, {**OF_JOBS, **reserved}),
        *range_faults(tuned),
    ]


# The annotations of Channel, ContentType, Objective and PublishedResult, as isinstance takes them.
DECLARED: Mapping[str, Any] = {
    "str": str,
    "bool": bool,
    "float": (int, float),
    "tuple[str, ...]": tuple,
}


def _is(value: Any, kind: type) -> bool:
    """Whether it is a ``kind``, and if that is a dataclass, its fields are what they declare."""
    declared = fields(kind) if is_dataclass(kind) else ()
    return isinstance(value, kind) and all(
        isinstance(getattr(value, field.name), DECLARED[str(field.type)]) for field in declared
    )


def _shown(kind: type) -> str:
    """``Objective(metric: str, maximize: bool)``."""
    return f"{kind.__name__}({', '.join(f'{field.name}: {field.type}' for field in fields(kind))})"


def _tuple_of(kind: type) -> tuple[str, Callable[[Any], bool]]:
    return (
        f"a tuple of {_shown(kind)}",
        lambda value: isinstance(value, tuple) and all(_is(item, kind) for item in value),
    )


# What each attribute of an algorithm is to be: in words, and as a check.
ATTRIBUTES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(
        ("name", "version", "task", "summary", "widget"),
        ("a str", lambda value: isinstance(value, str)),
    ),
    "Hyperparameters": (
        "a subclass of algoshelf.core.Hyperparameters",
        lambda value: inspect.isclass(value) and issubclass(value, Hyperparameters),
    ),
    "channels": _tuple_of(Channel),
    "accepts": _tuple_of(ContentType),
    "response_types": _tuple_of(ContentType),
    "metrics": (
        "a dict of str to str",
        lambda value: (
            isinstance(value, dict)
            and all(isinstance(text, str) for item in value.items() for text in item)
        ),
    ),
    "objective": (f"an {_shown(Objective)}", lambda value: _is(value, Objective)),
    "published": _tuple_of(PublishedResult),
    **dict.fromkeys(
        ("aliases", "extras"),
        (
            "a tuple of str",
            lambda value: isinstance(value, tuple) and all(isinstance(text, str) for text in value),
        ),
    ),
    "check_hyperparameters": (
        "a dict of hyperparameters",
        lambda value: isinstance(value, dict) and all(isinstance(name, str) for name in value),
    ),
}


def _missing(cls: type[Algorithm[Any]]) -> Iterator[str]:
    if inspect.isabstract(cls):
        yield f"it does not define {', '.join(sorted(cls.__abstractmethods__))}"
    needed = [name for name in Algorithm.__annotations__ if not hasattr(cls, name)]
    if needed:
        yield f"it does not set {', '.join(needed)}"


def _wrong_attributes(cls: type[Algorithm[Any]]) -> Iterator[str]:
    for name, (expected, fits) in ATTRIBUTES.items():
        if hasattr(cls, name) and not fits(getattr(cls, name)):
            yield f"{name} is {reprlib.repr(getattr(cls, name))}, expected {expected}"
    if isinstance(cls.widget, str) and widget_fault(cls):
        yield widget_fault(cls)


def _wrong_names(cls: type[Algorithm[Any]], reserved: Mapping[str, str]) -> Iterator[str]:
    """Names that the catalog or the command line cannot use."""
    for name in (getattr(cls, "name", None), *_attribute(cls, "aliases", ())):
        if isinstance(name, str) and not NAME.fullmatch(name):
            yield f"the name {name!r} is not lower-case words joined by hyphens"
    channels = [channel.name for channel in _attribute(cls, "channels", ())]
    tuned = list(getattr(_attribute(cls, "Hyperparameters", None), "model_fields", ()))
    yield from _wrong_flags("channels", channels, reserved)
    yield from _wrong_flags("hyperparameters", tuned, {**reserved, **CHANNELS})
    shared = [name for name, count in Counter([*channels, *tuned]).items() if count > 1]
    if shared:
        yield (
            f"channels and hyperparameters share the names {', '.join(sorted(shared))}: "
            "each is a flag, and needs a name of its own"
        )


def _wrong_flags(kind: str, names: Iterable[str], taken: Mapping[str, str]) -> Iterator[str]:
    reserved = sorted(taken.keys() & set(names))
    if reserved:
        owners = "; ".join(dict.fromkeys(taken[name] for name in reserved))
        yield (
            f"{kind} may not be called {', '.join(reserved)}: algoshelf has a flag or a "
            f"hyperparameter of that name ({owners})"
        )
    foreign = sorted(name for name in names if name.startswith(OF_SAGEMAKER))
    if foreign:
        yield (
            f"{kind} may not be called {', '.join(foreign)}: names that begin with {OF_SAGEMAKER} "
            "are SageMaker's own"
        )
    ill = sorted({name for name in names if not FLAG.fullmatch(name)})
    if ill:
        yield (
            f"{kind} may not be called {', '.join(ill)}: "
            "expected a lower-case letter, then lower-case letters, digits and underscores"
        )


def _attribute(cls: type[Algorithm[Any]], name: str, default: Any) -> Any:
    """The attribute, or ``default`` where it is missing or wrong, which others report."""
    value = getattr(cls, name, default)
    return value if ATTRIBUTES[name][1](value) else default
