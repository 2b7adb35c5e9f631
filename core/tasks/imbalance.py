"""Classes of unlike size or unlike cost: weights in the loss, and the threshold of a decision.

An algorithm that tells classes apart offers them by its hyperparameters:

    class MyHyperparameters(ImbalanceHyperparameters, TrainingHyperparameters): …

``Classifier`` does the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Sequence

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Literal

from ..algorithm.hyperparameters import Hyperparameters
from ..runtime import mx
from ..runtime.types import Array, Context, HybridBlock
from .binary_figures import F1, Rule, costs_of, recall_of

DECISION = "decision"  # its key in the encoding of an artifact


class ThresholdHyperparameters(Hyperparameters):
    """To be inherited beside TrainingHyperparameters where several labels are told: each label has
    a threshold of its own.
    """

    threshold: Literal["half", "f1"] = Field(
        "half",
        description="Probability from which on an example is called positive: 0.5 (half), or where "
        "F1 on the validation examples is highest (f1). min_recall and the costs choose otherwise.",
    )
    min_recall: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Choose the highest threshold at which this part of the positive validation "
        "examples is found. 0 means that none is demanded.",
    )
    cost_fp: float = Field(
        0.0,
        ge=0,
        le=1e12,
        description="Cost of a false alarm, in the unit of cost_fn: with both, the threshold is "
        "that of the least cost. 0 means that no costs are given.",
    )
    cost_fn: float = Field(
        0.0,
        ge=0,
        le=1e12,
        description="Cost of a positive example that is missed, in the unit of cost_fp.",
    )

    @model_validator(mode="after")
    def _check_one_rule(self) -> ThresholdHyperparameters:
        if bool(self.cost_fp) != bool(self.cost_fn):
            raise ValueError("cost_fp and cost_fn: give both, each above 0, or none")
        rules = {
            "threshold=f1": self.threshold == "f1",
            "min_recall": bool(self.min_recall),
            "cost_fp and cost_fn": bool(self.cost_fp),
        }
        given = [name for name, is_given in rules.items() if is_given]
        if len(given) > 1:
            raise ValueError(f"{', '.join(given)}: each chooses the threshold: give one of them")
        return self

    def rule(self) -> Rule | None:
        """How the threshold is to be chosen; None where it is 0.5."""
        if self.cost_fp:
            return costs_of(self.cost_fp, self.cost_fn)
        if self.min_recall:
            return recall_of(self.min_recall)
        return F1 if self.threshold == "f1" else None


class ImbalanceHyperparameters(ThresholdHyperparameters):
    """To be inherited beside TrainingHyperparameters."""

    class_weights: Literal["none", "balanced"] = Field(
        "none",
        description="Weight of an example in the loss: the same for all (none), or such that each "
        "class weighs the same (balanced). Balanced weights find more of the rare classes, and "
        "make their probabilities too high.",
    )
    positive: str = Field(
        "",
        max_length=1000,
        description="Of two classes, the name of the one to be found, such as bad or 1. Empty "
        "means the rarer one of the training.",
    )

    def of_two_classes(self) -> list[str]:
        """What is given of that which has a meaning where there are two classes only."""
        names = ("positive", "threshold", "min_recall", "cost_fp", "cost_fn")
        usual = type(self).model_fields
        return [name for name in names if getattr(self, name) != usual[name].default]


def encoded_rule(rule: Rule | None) -> dict[str, Any]:
    """How a threshold is chosen, in JSON types."""
    found: dict[str, Any] = {"chosen": rule is not None}
    if rule is not None and rule.recall is not None:
        found["recall"] = rule.recall
    if rule is not None and rule.costs is not None:
        found["costs"] = list(rule.costs)
    return found


def rule_in(found: Mapping[str, Any]) -> Rule | None:
    """Of what ``encoded_rule`` gave."""
    costs = found.get("costs")
    return Rule(found.get("recall"), tuple(costs) if costs else None) if found["chosen"] else None


@dataclass(frozen=True)
class Decision:
    """How one of two classes is called: which is ``positive``, the ``rule`` that chooses the
    threshold, and once a training has ended, the ``threshold`` itself.
    """

    positive: str
    rule: Rule | None = None
    threshold: float | None = None

    @classmethod
    def of(cls, encoding: Mapping[str, Any]) -> Decision | None:
        """The one that ``encoding`` holds, whose ``faults`` are none."""
        found = encoding.get(DECISION)
        if found is None:
            return None
        return cls(found["positive"], rule_in(found), found.get("threshold"))

    def encoded(self) -> dict[str, Any]:
        """In JSON types, as part of an encoding."""
        found: dict[str, Any] = {"positive": self.positive, **encoded_rule(self.rule)}
        if self.threshold is not None:
            found["threshold"] = self.threshold
        return {DECISION: found}


@dataclass(frozen=True)
class Thresholds:
    """From which probability on each label is given: the ``rule`` that chooses it, and once a
    training has ended, the ``values``, one a label.
    """

    rule: Rule | None
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, encoding: Mapping[str, Any]) -> Thresholds | None:
        """Those that ``encoding`` holds, whose ``threshold_faults`` are none."""
        found = encoding.get(DECISION)
        return None if found is None else cls(rule_in(found), tuple(found.get("thresholds", ())))

    def encoded(self) -> dict[str, Any]:
        """In JSON types, as part of an encoding."""
        values = {"thresholds": list(self.values)} if self.values else {}
        return {DECISION: {**encoded_rule(self.rule), **values}}


def decision_faults(encoding: Mapping[str, Any]) -> Iterator[str]:
    """Why the decision in ``encoding`` of an artifact is none, a sentence a fault."""
    found = encoding.get(DECISION)
    if found is None:
        return
    yield from _rule_faults(found, "positive and chosen", (_in(found, "threshold"),))
    if not isinstance(found, dict):
        return
    if len(encoding.get("classes", ())) != 2 or found.get("positive") not in encoding["classes"]:
        yield f"encoding: {DECISION}: expected two classes, and the name of one of them as positive"


def threshold_faults(encoding: Mapping[str, Any]) -> Iterator[str]:
    """Why the thresholds of labels in ``encoding`` are none, a sentence a fault."""
    found = encoding.get(DECISION)
    if found is None:
        return
    values = _in(found, "thresholds")
    numbers = values if isinstance(values, list) else ()
    yield from _rule_faults(found, "chosen and thresholds", numbers)
    if len(numbers) != len(encoding.get("classes", ())):
        yield f"encoding: {DECISION}: thresholds: expected a number for each label"


def _in(decision: Any, key: str) -> Any:
    return decision.get(key) if isinstance(decision, dict) else None


def _rule_faults(found: Any, what: str, thresholds: Sequence[Any]) -> Iterator[str]:
    if not isinstance(found, dict) or not isinstance(found.get("chosen"), bool):
        yield f"encoding: {DECISION}: expected an object with {what}"
        return
    numbers = [*thresholds, found.get("recall"), *_listed(found.get("costs"))]
    if not all(each is None or _is_number(each) for each in numbers):
        yield f"encoding: {DECISION}: expected numbers for threshold and recall, and two for costs"


def _listed(costs: Any) -> Sequence[Any]:
    if costs is None:
        return ()
    return costs if isinstance(costs, list) and len(costs) == 2 else (costs,)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def balanced_weights(counts: Array) -> Array:
    """The weight of each class, (C,) float32, of which there are ``counts`` (C,) examples: all
    classes that occur weigh the same together, and an example weighs 1 on average.
    """
    weights = counts.sum() / (np.maximum(counts, 1) * max(1, np.count_nonzero(counts)))
    return np.where(counts > 0, weights, 1.0).astype(np.float32)


def weighted(loss: HybridBlock, weights: Array, devices: Sequence[Context]) -> HybridBlock:
    """``loss`` (B,) of outputs and classes (B,), times the ``weights`` (C,) of the classes."""

    class Weighted(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.loss = loss
            self.weights = self.params.get_constant("weights", weights)

        def hybrid_forward(self, F: Any, outputs: Any, y: Any, weights: Any) -> Any:  # noqa: N803
            return self.loss(outputs, y) * F.take(weights, y)

    block = Weighted()
    block.initialize(ctx=list(devices))
    return block
