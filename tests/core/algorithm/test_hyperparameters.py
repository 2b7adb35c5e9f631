from __future__ import annotations

from typing import Any, List, Optional

import pytest
from algoshelf.core import HyperparameterError, Hyperparameters, TrainingHyperparameters
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from typing_extensions import Literal


class Every(Hyperparameters):
    """One field of every kind that algorithms use."""

    count: int = Field(3, ge=1, le=10, description="how many")
    rate: float = Field(0.1, gt=0, lt=1, description="how fast")
    flag: bool = Field(True, description="whether")
    kind: Literal["adam", "sgd"] = Field("adam", description="which")
    text: str = Field("", description="what")
    limit: Optional[int] = Field(None, ge=0, description="at most")
    layers: List[int] = Field([1, 2], description="how wide")


@pytest.mark.parametrize(
    ("name", "sent", "meant"),
    [
        ("count", "5", 5),
        ("count", "5.0", 5),
        ("count", '"5"', 5),
        ("count", 5, 5),
        ("rate", "1e-3", 0.001),
        ("rate", " 0.5 ", 0.5),
        ("flag", "False", False),
        ("flag", "true", True),
        ("flag", '"false"', False),
        ("flag", False, False),
        ("kind", '"sgd"', "sgd"),
        ("kind", "sgd", "sgd"),
        ("text", '"quoted"', "quoted"),
        ("text", "plain", "plain"),
        ("text", "1e-3", "1e-3"),
        ("text", "False", "False"),
        ("limit", "null", None),
        ("limit", "None", None),
        ("limit", "7", 7),
        ("layers", "[3, 4]", [3, 4]),
    ],
)
def test_strings_as_sagemaker_sends_them_get_their_type(
    name: str, sent: object, meant: object
) -> None:
    value = getattr(Every.parse({name: sent}), name)
    assert value == meant
    assert type(value) is type(meant)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("count", "banana"),
        ("count", "1.5"),
        ("count", "0"),
        ("count", "11"),
        ("count", "true"),
        ("count", True),
        ("count", ""),
        ("count", "99999999999999999999999"),
        ("rate", "0"),
        ("rate", "1"),
        ("rate", "nan"),
        ("rate", "Infinity"),
        ("rate", "1e999"),
        ("flag", "maybe"),
        ("kind", "adagrad"),
        ("layers", "[1, x]"),
        ("layers", "[" * 10_000),
    ],
)
def test_a_wrong_value_is_refused_by_name_with_what_was_expected(name: str, wrong: object) -> None:
    with pytest.raises(HyperparameterError) as caught:
        Every.parse({name: wrong})
    (fault,) = caught.value.faults
    assert fault.startswith(f"{name}: ")
    assert "expected" in fault


def test_all_faults_come_at_once_with_suggestions() -> None:
    with pytest.raises(HyperparameterError) as caught:
        Every.parse({"count": "banana", "ratio": "1", "kind": "sdg"})
    unknown, count, kind = caught.value.faults
    assert unknown == "ratio: no such hyperparameter (did you mean 'rate'?)"
    assert count == "count: expected a whole number from 1 to 10, got 'banana'"
    assert kind == "kind: expected one of adam, sgd, got 'sdg'"


def test_hyphens_and_underscores_name_the_same() -> None:
    assert TrainingHyperparameters.parse({"learning-rate": "0.5"}).learning_rate == 0.5
    with pytest.raises(HyperparameterError, match="given twice"):
        TrainingHyperparameters.parse({"learning-rate": "0.5", "learning_rate": "0.5"})


def test_a_required_one_that_is_missing_is_named_with_its_meaning() -> None:
    class Needs(Hyperparameters):
        k: int = Field(..., ge=1, description="Number of clusters.")

    with pytest.raises(HyperparameterError, match="k: required: Number of clusters"):
        Needs.parse({})


def test_describe_gives_type_default_and_range() -> None:
    described = {info.name: info for info in Every.describe()}
    assert [(i.type, i.default, i.range) for i in described.values()] == [
        ("int", 3, "from 1 to 10"),
        ("float", 0.1, "above 0 to below 1"),
        ("bool", True, ""),
        ("choice", "adam", "adam, sgd"),
        ("str", "", ""),
        ("int", None, "from 0"),
        ("list", [1, 2], ""),
    ]
    assert all(info.description for info in described.values())


@given(st.fixed_dictionaries({}, optional={name: st.text() for name in Every.model_fields}))
def test_any_strings_give_typed_values_or_one_clear_error(values: dict[str, Any]) -> None:
    try:
        parsed = Every.parse(values)
    except HyperparameterError:
        pass
    else:
        assert Every.parse(parsed.model_dump()) == parsed
