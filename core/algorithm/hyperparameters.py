"""Hyperparameters: one typed schema for options, help, validation, docs and the artifact."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Callable, ClassVar, Iterator, Mapping, TypeVar, Union

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from typing_extensions import Literal, get_args, get_origin

from ..runtime.deprecated import OF_HYPERPARAMETERS, Renamed
from ..runtime.errors import HyperparameterError, did_you_mean

H = TypeVar("H", bound="Hyperparameters")


@dataclass(frozen=True)
class Search:
    """Where a tuner looks for a good value, within what the field admits.

    Numbers: from ``low`` to ``high``, both included, and where ``log``, by their logarithm.
    Anything else, and numbers of which only some will do: ``choices``; those of a Literal and of a
    bool need not be named. ``where`` names other hyperparameters and the values of theirs with
    which this one has an effect.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()
    where: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


class _SchemaType(Renamed, type(BaseModel)):  # type: ignore[misc]
    """Makes the class a model of pydantic, and its attributes known by their old names."""


class Hyperparameters(BaseModel, metaclass=_SchemaType):  # type: ignore[metaclass]
    """The base of an algorithm's hyperparameters: fields with type, default, range and meaning.

    Values may come as SageMaker sends them, every one a string: ``"False"``, ``"1e-3"``,
    ``'"adam"'``. Names may be written with hyphens or underscores. ``search_space`` says what is
    worth tuning; the rest is the user's to decide (``core/algorithm/search_space.py``).
    """

    search_space: ClassVar[Mapping[str, Search]] = {}
    searched: ClassVar[Mapping[str, Search]]  # the old name, which is no field either
    old_attributes: ClassVar[Mapping[str, str]] = OF_HYPERPARAMETERS

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    @classmethod
    def parse(cls: type[H], values: Mapping[str, Any], label: Callable[[str], str] = str) -> H:
        """Typed hyperparameters from ``values``, which may be strings.

        ``label`` writes a name as the user knows it, e.g. as a command-line flag. Raises
        HyperparameterError with every fault at once.
        """
        named: dict[str, Any] = {}
        faults: list[str] = []
        for key, value in values.items():
            name = key.replace("-", "_")
            if name in named:
                faults.append(f"{label(name)}: given twice")
            elif name in cls.model_fields:
                named[name] = _from_string(value, cls.model_fields[name])
            else:
                near = did_you_mean(label(name), [label(known) for known in cls.model_fields])
                faults.append(f"{label(name)}: no such hyperparameter{near}")
        try:
            parsed = cls.model_validate(named)
        except ValidationError as error:
            described = {info.name: info for info in cls.describe()}
            for fault in error.errors():
                faults.append(_sentence(fault, described, label))
        if faults:
            raise HyperparameterError(*faults)
        return parsed

    @classmethod
    def describe(cls) -> tuple[HyperparameterInfo, ...]:
        """Every hyperparameter, in the order of its definition."""
        return tuple(
            HyperparameterInfo(
                name=name,
                type=_type_name(field.annotation),
                default=None if field.is_required() else field.get_default(),
                required=field.is_required(),
                range=_range(field),
                description=field.description or "",
                choices=_admitted(field.annotation),
            )
            for name, field in cls.model_fields.items()
        )


@dataclass(frozen=True)
class HyperparameterInfo:
    """One hyperparameter as a person reads it; ``range`` is empty where there is no bound.

    ``choices`` are all of its values, where they can be counted.
    """

    name: str
    type: str
    default: Any
    required: bool
    range: str
    description: str
    choices: tuple[Any, ...] = ()

    @property
    def expected(self) -> str:
        """``a whole number from 1 to 1000``."""
        return " ".join(part for part in (_ARTICLES.get(self.type, self.type), self.range) if part)


_ARTICLES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "choice": "one of",
}


# pydantic's kinds of faults that the type and the range of a field explain.
_OF_TYPE_OR_RANGE = frozenset(
    f"{kind}_{what}" for kind in ("int", "float", "bool", "string") for what in ("parsing", "type")
) | {
    "int_from_float",
    "int_parsing_size",
    "finite_number",
    "literal_error",
    "greater_than",
    "greater_than_equal",
    "less_than",
    "less_than_equal",
}


def _from_string(value: Any, field: FieldInfo) -> Any:
    """The value meant by a string; what is no string, or means only itself, stays."""
    kinds = set(_kinds(field.annotation))
    if isinstance(value, bool) and bool not in kinds:
        return str(value)  # True is no number here, though Python counts with it
    if not isinstance(value, str):
        return value
    text = value.strip()
    if type(None) in kinds and text.lower() in ("", "none", "null"):
        return None
    if str in kinds:
        quoted = len(text) >= 2 and text[0] == text[-1] == '"'
        return _json_or(text, value) if quoted else value
    if bool in kinds:
        return {"true": True, "false": False}.get(text.strip('"').lower(), value)
    return _json_or(text.strip('"'), value)


def _json_or(text: str, default: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return default
    return default if isinstance(value, bool) else value


def _kinds(annotation: Any) -> Iterator[Any]:
    """The plain types that an annotation admits: ``Optional[int]`` gives int and NoneType."""
    origin = get_origin(annotation)
    if origin is Union or getattr(origin, "__name__", "") == "UnionType":
        for member in get_args(annotation):
            yield from _kinds(member)
    elif origin is Literal:
        yield from {type(choice) for choice in get_args(annotation)}
    else:
        yield origin or annotation


def _choices(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next(filter(None, map(_choices, get_args(annotation))), ())


def _admitted(annotation: Any) -> tuple[Any, ...]:
    return (False, True) if annotation is bool else _choices(annotation)


def _type_name(annotation: Any) -> str:
    if _choices(annotation):
        return "choice"
    names = [kind.__name__ for kind in _kinds(annotation) if kind is not type(None)]
    return " or ".join(dict.fromkeys(names))


def _range(field: FieldInfo) -> str:
    choices = [str(choice) for choice in _choices(field.annotation)]
    if choices:
        return ", ".join(choices)
    low = high = ""
    for bound in field.metadata:
        for word, name in (("from", "ge"), ("above", "gt")):
            if getattr(bound, name, None) is not None:
                low = f"{word} {getattr(bound, name)}"
        for word, name in (("to", "le"), ("to below", "lt")):
            if getattr(bound, name, None) is not None:
                high = f"{word} {getattr(bound, name)}"
    if high and not low:
        high = high.replace("to below", "below").replace("to ", "up to ")
    return f"{low} {high}".strip()


def _sentence(
    fault: Any, described: Mapping[str, HyperparameterInfo], label: Callable[[str], str]
) -> str:
    if not fault["loc"]:  # of the hyperparameters together
        return str(fault["msg"]).replace("Value error, ", "", 1)
    name = str(fault["loc"][0])
    info = described[name]
    if fault["type"] == "missing":
        return f"{label(name)}: required: {info.description}"
    if fault["type"] in ("value_error", "assertion_error"):
        return f"{label(name)}: {fault['ctx']['error']}"
    expected = info.expected if fault["type"] in _OF_TYPE_OR_RANGE else fault["msg"]
    return f"{label(name)}: expected {expected}, got {str(fault['input'])!r}"


class TrainingHyperparameters(Hyperparameters):
    """What every network that learns by gradient descent is told; subclass it to change it."""

    search_space = {
        "learning_rate": Search(1e-4, 1e-1, log=True),
        "momentum": Search(0.8, 0.98, where={"optimizer": ("sgd", "nesterov")}),
        "weight_decay": Search(1e-6, 1e-2, log=True),
        "batch_size": Search(choices=(32, 64, 128, 256)),
        "warmup": Search(0.0, 0.3),
    }

    epochs: int = Field(10, ge=1, le=10_000, description="Number of passes over the training data.")
    batch_size: int = Field(
        128,
        ge=1,
        le=65_536,
        description="Number of examples in one training step, over all devices and hosts.",
    )
    optimizer: Literal["sgd", "nesterov", "adam"] = Field(
        "adam",
        description="Optimizer: adam, sgd with momentum, or nesterov (sgd with Nesterov's).",
    )
    learning_rate: float = Field(
        1e-3, gt=0, le=100, description="Peak learning rate, reached at the end of the warm-up."
    )
    momentum: float = Field(
        0.9,
        ge=0,
        lt=1,
        description="Momentum of sgd and of nesterov; adam does not use it.",
    )
    beta2: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Decay rate of adam's running mean of squared gradients; others have none.",
    )
    weight_decay: float = Field(
        0.0, ge=0, le=1, description="Weight decay: strength of the L2 penalty on the weights."
    )
    precision: Literal["float32", "mixed"] = Field(
        "float32",
        description="Number format: float32, or mixed, which multiplies in float16 (GPUs only).",
    )
    clip_norm: float = Field(
        0.0,
        ge=0,
        description="Gradient clipping: largest norm of the gradient of all parameters together. "
        "0 means no clipping.",
    )
    schedule: Literal["cosine", "linear", "step", "constant"] = Field(
        "cosine",
        description="Learning rate after the warm-up: cosine or linear (both fall to zero), step "
        "(divided by 10 at 1/2 and at 3/4 of the training) or constant.",
    )
    reference_batch: int = Field(
        0,
        ge=0,
        description="Batch size for which learning_rate was chosen; the learning rate is "
        "multiplied by batch_size / reference_batch. 0 means no scaling.",
    )
    warmup: float = Field(
        0.1,
        ge=0,
        le=0.9,
        description="Fraction of the training during which the learning rate rises from zero.",
    )
    lookahead: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Lookahead: number of steps after which the weights are drawn to their running "
        "average, the more the nearer the end is. 0 means no averaging.",
    )
    keep: Literal["best", "last"] = Field(
        "best",
        description="Epoch whose weights the model has: best, by the objective on the validation "
        "data, or last, where these are too few to tell.",
    )
    patience: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Early stopping: number of epochs without improvement after which training "
        "ends. 0 means no early stopping.",
    )
    holdout: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Fraction of the training data held out for validation where no validation "
        "channel is given.",
    )
