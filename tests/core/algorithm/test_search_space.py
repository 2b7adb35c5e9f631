from __future__ import annotations

from typing import Any

import pytest
from algoshelf.core import HyperparameterError, Hyperparameters, Range, Search, tunable
from algoshelf.core.algorithm.search_space import range_faults
from pydantic import Field
from typing_extensions import Literal


class Base(Hyperparameters):
    rate: float = Field(0.1, gt=0, le=1, description="how fast")
    size: int = Field(64, ge=1, le=512, description="how many")
    kind: Literal["adam", "sgd"] = Field("adam", description="which")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    flag: bool = Field(True, description="whether")

    search_space = {
        "rate": Search(1e-3, 1.0, log=True),
        "size": Search(choices=(64, 128)),
        "momentum": Search(0.5, 0.9, where={"kind": ("sgd",)}),
    }


class Narrow(Base):
    size: int = Field(8, ge=1, le=16, description="fewer")


RATE = Range("rate", "float", 1e-3, 1.0, log=True)
SIZE = Range("size", "choice", choices=(64, 128))
MOMENTUM = Range("momentum", "float", 0.5, 0.9)


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [
        ({}, [RATE, SIZE]),
        ({"kind": "sgd"}, [RATE, SIZE, MOMENTUM]),
        ({"kind": "sgd", "rate": "0.5"}, [SIZE, MOMENTUM]),
    ],
)
def test_what_is_decided_or_has_no_effect_is_not_tuned(
    fixed: dict[str, Any], expected: list[Range]
) -> None:
    assert tunable(Base, fixed) == expected


def test_what_is_tuned_itself_leaves_those_that_depend_on_it() -> None:
    search_space = {**Base.search_space, "kind": Search(), "flag": Search(), "size": Search(2, 9)}
    assert tunable(Base, {}, search_space) == [
        RATE,
        Range("size", "int", 2, 9),
        MOMENTUM,
        Range("kind", "choice", choices=("adam", "sgd")),
        Range("flag", "choice", choices=(False, True)),
    ]


def test_a_field_that_a_subclass_narrows_loses_the_range_that_it_inherited() -> None:
    assert tunable(Narrow) == [RATE]
    assert range_faults(Narrow) == []


@pytest.mark.parametrize(
    ("name", "search", "fault"),
    [
        ("rate", Search(0.5, 2.0), "rate: expected a number above 0 to 1, got '2.0'"),
        ("rate", Search(0.5), "rate: expected choices, or two bounds, got 0.5 to None"),
        ("rate", Search(0.5, 0.1), "rate: expected choices, or two bounds, got 0.5 to 0.1"),
        ("momentum", Search(0.0, 0.5, log=True), "above 0 for a log scale"),
        ("size", Search(1.5, 3), "size: expected a whole number"),
        ("kind", Search(0, 1), "kind: expected choices"),
        ("kind", Search(choices=("adagrad",)), "kind: expected one of adam, sgd"),
        ("speed", Search(), "speed: no such hyperparameter"),
        ("rate", Search(0.1, 0.2, where={"sort": (1,)}), "sort: no such hyperparameter"),
    ],
)
def test_a_range_that_the_schema_does_not_admit_is_a_fault(
    name: str, search: Search, fault: str
) -> None:
    with pytest.raises(HyperparameterError, match=fault.split(":")[0]) as raised:
        tunable(Base, search_space={name: search})
    assert fault in str(raised.value)
    wrong = type("Wrong", (Base,), {"search_space": {name: search}})
    assert [fault in found for found in range_faults(wrong)] == [True]


def test_a_declaration_of_another_form_is_a_fault() -> None:
    wrong = type("Wrong", (Base,), {"search_space": {"rate": (0.1, 0.2)}})
    assert "expected a dict of str to Search" in range_faults(wrong)[0]
