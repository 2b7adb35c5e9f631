"""Recommendation: how a user likes an item, which items a user would choose, which are alike."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, Sequence

import numpy as np
from pydantic import Field
from typing_extensions import Literal

from .. import payload, training
from ..algorithm.base import ContentType, Draw, Objective
from ..algorithm.channels import TEST, TRAIN, VALIDATION
from ..algorithm.evaluation import Baseline, Evaluation
from ..algorithm.hyperparameters import TrainingHyperparameters
from ..artifact.metadata import Example, Metadata
from ..artifact.model import Model
from ..data.dataset import Dataset, Subset, chunks
from ..data.interactions import (
    CANDIDATES,
    UNKNOWN,
    Candidates,
    Interactions,
    Seen,
    WithNegatives,
    interactions_of,
    one_of_each_user,
)
from ..runtime import mx
from ..runtime.errors import ArtifactError, DataError, PluginError, TrainingError
from ..runtime.types import Array, HybridBlock
from . import ranking_baselines
from .answers import Answers
from .nearest import SCORES_AT_ONCE, highest
from .ranking_baselines import Biases
from .ranking_figures import (
    evaluate_places,
    evaluate_ranking,
    evaluate_ratings,
    places_of,
)
from .recommendations import Answer, Question, questions
from .scaling import moments
from .supervised import MEASURED, SupervisedAlgorithm

if TYPE_CHECKING:
    from typing import TypeVar

    from ..training.run import Run

    H = TypeVar("H", bound="RecommenderHyperparameters")

# Of what a tower gives for a user or an item, the last two are no properties: a bias and a 1.
BIASES = 2
MOST_KEPT = 500_000  # users whose factors are kept in memory, once they were computed
NEVER = np.finfo(np.float32).min  # the score of what is not to be recommended


class RecommenderHyperparameters(TrainingHyperparameters):
    """What every recommender is told besides."""

    feedback: Literal["explicit", "implicit"] = Field(
        "explicit",
        description="What the data tell: explicit (ratings, which are estimated) or implicit "
        "(choices such as clicks and purchases; what a user did not choose is drawn at random).",
    )
    negatives: int = Field(
        4,
        ge=1,
        le=1000,
        description="Number of items that the user did not choose, drawn for each that was "
        "(implicit only).",
    )
    ranking_loss: Literal["softmax", "bpr", "logistic"] = Field(
        "softmax",
        description="Loss of implicit feedback: softmax (the chosen item against all drawn), bpr "
        "(against each of them) or logistic (each item by itself).",
    )
    regularization: float = Field(
        0.0,
        ge=0,
        le=100,
        description="L2 penalty on the factors of the user and the items of each example.",
    )
    holdout_by: Literal["auto", "random", "last"] = Field(
        "auto",
        description="What is held out for validation: random (a part of explicit ratings, one "
        "interaction of each user of implicit ones), last (of each user, by time), or auto (last "
        "for implicit feedback with times, else random).",
    )


class Recommender(SupervisedAlgorithm[Any]):
    """A supervised algorithm that learns which items users choose, or how they rate them.

    ``dataset`` returns Interactions. ``network`` takes ids (N, 1 + J) int32, a user and J items,
    and gives their scores (N, J); its blocks ``user`` and ``item`` give, for ids (N, L), what is
    known of each, (N, L, K + BIASES), which for a user ends in its bias and 1, for an item in 1 and
    its bias. Where the score is the product of the two, ``is_product`` says so: the best items are
    then found by one product of matrices. Parameters of these blocks whose names end in ``table``
    have a row for each user or item, or where they end in ``side_table`` for each property: row 0
    stands for what is unknown, and that and the rows of whom no example is learned from begin with
    0.

    Explicit ratings are learned standardized; the graph of the model brings them back, and keeps
    them within the ratings of the training.
    """

    Hyperparameters = RecommenderHyperparameters
    metrics = {
        "train:loss": "Mean loss of the training batches.",
        "validation:error": "What is to be lowered: of explicit ratings the RMSE, of implicit "
        "feedback 1 - NDCG@10.",
        "validation:rmse": "Explicit: root of the mean squared error, in units of the ratings.",
        "validation:mae": "Explicit: mean absolute error, in units of the ratings.",
        "validation:r2": "Explicit: 1 - squared error / that of answering the mean.",
        "validation:hit_rate": "Implicit: part of the held-out items that are among the first 10 "
        "of 99 others, which their users never chose (HR@10).",
        "validation:ndcg": "Implicit: NDCG@10 of the held-out items among these.",
        "test:error": "The same for the test channel, after training.",
        "test:rmse": "The same for the test channel, after training.",
        "test:mae": "The same for the test channel, after training.",
        "test:r2": "The same for the test channel, after training.",
        "test:hit_rate": "The same for the test channel, after training.",
        "test:ndcg": "The same for the test channel, after training.",
        **MEASURED,
    }
    objective = Objective("validation:error", maximize=False)
    mixed_tables = True
    accepts = (
        ContentType(
            payload.JSON,
            "Questions: the score of an item for a user, the best items of a user, the items most "
            "like an item.",
            '{"instances": [{"user": "196", "item": "242"}, {"user": "196", "top": 10}, '
            '{"item": "242", "similar": 5}]}',
        ),
        ContentType(
            payload.JSONLINES, "One question per line, as in JSON.", '{"user": "196", "top": 10}'
        ),
        ContentType(
            payload.CSV,
            "One question per line: a user and an item, or a user alone, for the best 10 items.",
            "196,242",
        ),
    )
    response_types = (
        ContentType(
            payload.JSON,
            "For each question the score, or the items with their scores; and whether the training "
            "had the user and the item.",
            '{"predictions": [{"score": 3.9, "known": true}, '
            '{"items": [{"item": "50", "score": 4.8}], "known": true}]}',
        ),
        ContentType(
            payload.JSONLINES, "One answer per line, as in JSON.", '{"score": 3.9, "known": true}'
        ),
        ContentType(
            payload.CSV,
            "One answer per line: the score, or each item and its score in turn; and at the end "
            "whether the training had the user and the item.",
            "3.9,true",
        ),
    )

    def is_product(self, hyperparameters: Any) -> bool:
        """Whether the network's score is the product of what its towers give."""
        return False

    def check_labels(self, labels: Array, data: Dataset, path: Path) -> None:
        found = interactions_of(data)
        faults = [
            f"{path}: all {len(found):,} interactions are of one {kind}, {names[0]!r}: expected "
            "two at least"
            for kind, names in (("user", found.users), ("item", found.items))
            if len(names) < 2
        ]
        if found.scale is not None and found.scale[0] == found.scale[1]:
            faults.append(
                f"{path}: all ratings are {found.scale[0]:g}: there is nothing to estimate; "
                "--feedback implicit learns from who chose what"
            )
        if faults:
            raise DataError(*faults)

    def united(
        self, encodings: Sequence[Mapping[str, Any]], hosts: Sequence[str], hyperparameters: Any
    ) -> Mapping[str, Any]:
        """The users and items of all hosts, and the least and the greatest rating of any."""
        scales = [encoding["scale"] for encoding in encodings if "scale" in encoding]
        widest = [min(low for low, _ in scales), max(high for _, high in scales)] if scales else []
        alike = [{**encoding, **({"scale": widest} if scales else {})} for encoding in encodings]
        return super().united(alike, hosts, hyperparameters)

    def _train_data(self, run: Run[Any]) -> Dataset:
        found = super()._train_data(run)
        for kind in ("users", "items"):
            run.cluster.check_alike(f"the number of {kind}", len(found.encoding[kind]))
        return found

    def _divided(
        self, run: Run[Any], given: Mapping[str, Dataset]
    ) -> tuple[Dataset, Dataset, Dataset | None]:
        """As for any algorithm; of implicit feedback, validation and test are Candidates."""
        options, train = run.hyperparameters, interactions_of(given[TRAIN])
        implicit, by = train.scale is None, options.holdout_by
        if by == "auto":
            by = "last" if implicit and train.when is not None else "random"
        if VALIDATION in given or (by == "random" and not implicit):
            learn, held, _ = super()._divided(run, given)
        else:
            if by == "last" and train.when is None:
                raise DataError(
                    f"{run.channels[TRAIN]}: holdout_by last: no column of times is found: name "
                    "it by --time-column, or hold out at random"
                )
            out = one_of_each_user(train, run.rng(training.loop.HOLD_OUT), last=by == "last")
            if not out.any():
                raise DataError(
                    f"{run.channels[TRAIN]}: no user has two interactions, of which one could be "
                    "held out for validation: give a validation channel"
                )
            learn, held = (Subset(train, np.flatnonzero(part)) for part in (~out, out))
            run.reporter.message(
                f"no validation channel: {len(held):,} interactions of train are held out, "
                + ("the last" if by == "last" else "a random one")
                + " of each user who has several"
            )
        learn, held = interactions_of(learn), interactions_of(held)
        test = interactions_of(given[TEST]) if TEST in given else None
        if not implicit:
            return learn, held, test
        seen = [interactions_of(each).pairs for each in given.values()]
        every = Seen.of(np.concatenate(seen), len(train.users))
        return learn, Candidates(held, every), test and Candidates(test, every)

    def _network(self, run: Run[Any], train: Dataset) -> HybridBlock:
        network = super()._network(run, train)
        data = interactions_of(train)
        for tower, numbers in ((network.user, data.pairs[:, 0]), (network.item, data.pairs[:, 1])):
            parts = run.cluster.gather_arrays(np.unique(numbers), "who is in the training data")
            learned = np.unique(np.concatenate(parts))
            for name, parameter in tower.collect_params().items():
                if not name.endswith("table"):
                    continue
                values = parameter.data(run.devices[0]).asnumpy()
                if name.endswith("side_table"):
                    values[UNKNOWN] = 0
                else:
                    values[np.setdiff1d(np.arange(len(values)), learned)] = 0
                parameter.set_data(mx.nd.array(values))
        return self.learner(network, data, run.hyperparameters)

    def learner(
        self, network: HybridBlock, data: Interactions, hyperparameters: Any
    ) -> HybridBlock:
        """What gives the loss its scores in training: ``network``, or a block whose ``scored`` it
        is. By default with a penalty, where there is one.
        """
        penalty = hyperparameters.regularization
        return _penalized(network, penalty) if penalty else network

    def learned(self, data: Interactions, run: Run[Any]) -> Dataset:
        """The examples to learn from ``data``, whose ratings are standardized: by default each
        pair, of implicit feedback with negatives.
        """
        return WithNegatives(data, run.hyperparameters.negatives) if data.scale is None else data

    def inform(self, network: HybridBlock, data: Interactions, run: Run[Any]) -> None:
        """Lay what its users have had into ``network``, where it keeps that; by default nothing.

        After the training ``data`` are all that is known of them, validation too.
        """

    def scale_targets(
        self, network: HybridBlock, train: Dataset, run: Run[Any]
    ) -> tuple[HybridBlock, Dataset]:
        data = interactions_of(train)
        inner = getattr(network, "scored", network)
        if data.scale is None:
            return _answering(inner, run, None, 0.0, 1.0), self.learned(data, run)
        found = moments(run.cluster, data.ratings[:, None].astype(np.float64), "ratings")
        mean, scale = float(found.mean[0]), float(found.scale[0]) or 1.0
        standardized = replace(data, ratings=((data.ratings - mean) / scale).astype(np.float32))
        return _answering(inner, run, data.scale, mean, scale), self.learned(standardized, run)

    def trained(self, network: HybridBlock, given: Mapping[str, Dataset], run: Run[Any]) -> None:
        self.inform(getattr(network, "scored", network), _joined(given), run)

    def loss(self, hyperparameters: Any) -> Any:
        """Of the scores (B, J) of explicit ratings half the squared error; of implicit feedback
        what ``ranking_loss`` says, the first of the J having been chosen. Where the network gives
        a penalty besides, as the last column, that is added.
        """
        kind = hyperparameters.ranking_loss if hyperparameters.feedback == "implicit" else "squared"
        return _loss(kind, bool(hyperparameters.regularization))

    def kept(self, given: Mapping[str, Dataset], run: Run[Any]) -> Mapping[str, Array]:
        """What each user has seen, by all that training and validation hold, on whichever host; of
        explicit ratings also their biases, which is what a model has to beat.
        """
        cluster, known = run.cluster, _joined(given)
        pairs, ratings = known.pairs, known.ratings
        if not cluster.agrees(known.digest(), "the interactions"):
            pairs, ratings = (
                np.concatenate(cluster.gather_arrays(each, "the interactions"))
                for each in (pairs, ratings)
            )
        users, items = len(known.users), len(known.items)
        seen = Seen.of(pairs, users)
        arrays = {"seen_items": seen.items, "seen_offsets": seen.offsets}
        if known.scale is None:
            return arrays
        biases = Biases.of(pairs, ratings, users, items)
        return {
            **arrays, "mean": biases.mean, "user_bias": biases.user, "item_bias": biases.item
        }  # fmt: skip

    def example(self, data: Dataset) -> Example:
        user, item = data.take(np.zeros(1, np.int64))[0][0, :2]
        names = data.encoding
        question = {
            "user": names["users"][max(0, user - 1)], "item": names["items"][max(0, item - 1)]
        }  # fmt: skip
        body = payload.encode_json({"instances": [question]}).decode()
        return Example(content_type=payload.JSON, body=body)

    def score(self, outputs: Array, data: Dataset) -> Evaluation:
        if not np.isfinite(outputs).all():
            raise TrainingError(f"the network of {self.name} gives scores that are no numbers")
        if "scale" not in data.encoding:
            return evaluate_places(places_of(outputs[:, : 1 + CANDIDATES], data.labels()))
        return evaluate_ratings(outputs[:, 0], data.labels())

    def evaluate(self, model: Model, path: Path) -> Evaluation:
        assert isinstance(model, RecommenderModel)
        data = interactions_of(self.test_data(path, model))
        if data.scale is not None:
            found = evaluate_ratings(model.scores(data.pairs), data.ratings)
            return replace(found, baselines=tuple(_of_ratings(model, data)))
        every = np.concatenate([model.seen_pairs(), data.pairs])
        asked = Candidates(data, Seen.of(every, len(data.users)))
        found = evaluate_ranking(model.all_scores, asked)
        return replace(found, baselines=tuple(_of_rankings(model, asked)))

    def examples(self, path: Path, model: Model, draw: Draw) -> tuple[list[Any], int]:
        """Each interaction as the question for its score."""
        data = interactions_of(self.test_data(path, model))
        pairs = data.pairs[np.array(draw(len(data)), np.int64)]
        users, items = (["(unknown)", *names] for names in (data.users, data.items))
        asked = [Question(users[user], items[item]) for user, item in pairs[:, :2].tolist()]
        return asked, len(data)

    def model_fn(self, model_dir: str | Path, device: Any = None) -> Model:
        model = super().model_fn(model_dir, device)
        kept = self.artifact(Path(model_dir)).kept()
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        rated = "scale" in model.metadata.encoding
        try:
            seen = Seen(kept["seen_items"], kept["seen_offsets"])
            biases = Biases(kept["mean"], kept["user_bias"], kept["item_bias"]) if rated else None
        except KeyError as error:
            raise ArtifactError(f"{model_dir}: holds no {error.args[0]}: train again") from None
        return RecommenderModel(
            **vars(model), seen=seen, biases=biases, is_product=self.is_product(options)
        )

    def disagreements(
        self, metadata: Metadata, outputs: tuple[tuple[int, ...], ...]
    ) -> Iterable[str]:
        if len(outputs) != 1 or len(outputs[0]) != 2 or outputs[0][1] % 2 == 0:
            yield f"the network gives {outputs}: expected a row of a score and two towers"
        for kind in ("users", "items"):
            names = metadata.encoding.get(kind)
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                yield f"encoding: {kind}: expected a list of names"

    def input_fn(self, request_body: bytes, request_content_type: str) -> list[Question]:
        content_type = payload.check_content_type(request_content_type, self.accepted_media_types())
        return questions(request_body, content_type)

    def predict_fn(self, input_data: Sequence[Question], model: Model) -> Answers[Answer]:
        assert isinstance(model, RecommenderModel)
        return model.answered(input_data)

    def output_fn(self, prediction: Answers[Answer], accept: str) -> bytes:
        return prediction.encoded(payload.negotiate(accept, self.response_media_types()))

    def preview(self, path: Path, model: Model, count: int, width: int) -> str:
        assert isinstance(model, RecommenderModel)
        names = list(model.users)[:: max(1, len(model.users) // count)][:count]
        answers = model.answered([Question(name, None, 5) for name in names])
        lines = (
            f"{name}: " + ", ".join(f"{item} ({score:.2f})" for item, score in answer.items)
            for name, answer in zip(names, answers)
        )
        return "\n".join(textwrap.shorten(line, width) for line in lines)


def _of_ratings(model: RecommenderModel, data: Interactions) -> Iterator[Baseline]:
    """What knowing the mean, and the biases of users and items, gets."""
    assert model.biases is not None
    mean = np.broadcast_to(model.biases.mean, len(data))
    for name, estimates in (
        ("mean rating", mean), ("biases of user and item", model.biases.estimates(data.pairs))
    ):  # fmt: skip
        yield Baseline(name, evaluate_ratings(estimates, data.ratings).metrics)


def _of_rankings(model: RecommenderModel, asked: Candidates) -> Iterator[Baseline]:
    """What popularity and the neighbours of items get, by what the model's users have seen."""
    for name, baseline in ranking_baselines.scorers(model.seen, len(model.items)):

        def score_all(users: Array, baseline: Mapping[str, Array] = baseline) -> Array:
            return ranking_baselines.scored(baseline, users.tolist(), model.seen)

        yield Baseline(name, evaluate_ranking(score_all, asked).metrics)


@dataclass(frozen=True)
class RecommenderModel(Model):
    """A loaded model with what its users have seen."""

    seen: Seen
    biases: Biases | None
    is_product: bool

    @cached_property
    def users(self) -> Mapping[str, int]:
        """The number of each user."""
        return {name: number for number, name in enumerate(self.metadata.encoding["users"], 1)}

    @cached_property
    def items(self) -> Mapping[str, int]:
        """The number of each item."""
        return {name: number for number, name in enumerate(self.metadata.encoding["items"], 1)}

    @cached_property
    def item_names(self) -> Array:
        """The names of the items, by their numbers less 1, (I,) of objects."""
        names: Array = np.array(self.metadata.encoding["items"], object)
        return names

    def seen_pairs(self) -> Array:
        """All pairs of a user and an item that was seen, (M, 2) int32."""
        users = np.repeat(np.arange(len(self.seen.offsets) - 1, dtype=np.int32), self.seen.counts)
        return np.stack([users, self.seen.items], axis=1)

    def computed(self, pairs: Array) -> tuple[Array, Array, Array]:
        """For ``pairs`` (N, 2) the scores (N,), and what the towers give for each user and each
        item, (N, K + BIASES), so that the product of the two is the score where ``is_product``.
        """
        found = self.outputs(pairs.astype(np.int32))
        width = (found.shape[1] - 1) // 2
        return found[:, 0], found[:, 1 : 1 + width], found[:, 1 + width :]

    def scores(self, pairs: Array) -> Array:
        """The scores (N,) of ``pairs`` (N, 2)."""
        return self.computed(pairs)[0]

    @cached_property
    def item_factors(self) -> Array:
        """What the network knows of each item, (I, K + BIASES)."""
        numbers = np.arange(1, len(self.items) + 1, dtype=np.int32)
        return self.computed(np.stack([np.zeros_like(numbers), numbers], axis=1))[2]

    def _factors_of(self, users: Array) -> Array:
        return self.computed(np.stack([users, np.zeros_like(users)], axis=1))[1]

    @cached_property
    def user_factors(self) -> Array:
        """What the network knows of each user, and in row 0 of one unknown, (U + 1, K + BIASES)."""
        return self._factors_of(np.arange(len(self.users) + 1, dtype=np.int32))

    @cached_property
    def _directions(self) -> Array:
        """The properties of each item, of length 1, (I, K)."""
        factors = self.item_factors[:, :-BIASES]
        lengths = np.sqrt((factors**2).sum(axis=1, keepdims=True))
        directions: Array = factors / np.maximum(lengths, 1e-12)
        return directions

    def answered(self, asked: Sequence[Question]) -> Answers[Answer]:
        """The answers to questions of all three kinds."""
        answers: list[Answer] = [Answer(None, (), ())] * len(asked)
        for kind in (self._pairs, self._best, self._similar):
            for place, answer in kind(list(enumerate(asked))):
                answers[place] = answer
        return Answers(answers)

    def _unknown(self, asked: Question, user: int, item: int) -> tuple[str, ...]:
        missing = [] if asked.user is None or user else ["user"]
        return (*missing, *([] if asked.item is None or item else ["item"]))

    def _pairs(self, asked: Sequence[tuple[int, Question]]) -> Iterable[tuple[int, Answer]]:
        chosen = [(place, each) for place, each in asked if each.user is not None and not each.most]
        if not chosen:
            return
        numbers = np.array(
            [
                (self.users.get(each.user or "", UNKNOWN), self.items.get(each.item or "", UNKNOWN))
                for _, each in chosen
            ],
            np.int32,
        )
        scores = payload.plain(self.scores(numbers))
        for (place, each), (user, item), score in zip(chosen, numbers.tolist(), scores):
            yield place, Answer(score, (), self._unknown(each, user, item))

    def _best(self, asked: Sequence[tuple[int, Question]]) -> Iterable[tuple[int, Answer]]:
        chosen = [(place, each) for place, each in asked if each.item is None]
        for part in chunks(len(chosen), max(1, SCORES_AT_ONCE // len(self.items))):
            some = chosen[part]
            users = np.array([self.users.get(each.user or "", UNKNOWN) for _, each in some])
            places, scores, counts = self.best(users, max(each.most for _, each in some))
            rows = zip(self.item_names[places].tolist(), payload.plain(scores), counts.tolist())
            for (place, each), user, (names, values, count) in zip(some, users.tolist(), rows):
                most = min(each.most, count)
                pairs = tuple(zip(names[:most], values[:most]))
                yield place, Answer(None, pairs, self._unknown(each, user, 0))

    def best(self, users: Array, count: int) -> tuple[Array, Array, Array]:
        """For each of ``users`` (B,) the ``count`` items that it has not seen with the highest
        scores, as places in ``item_names`` (B, C), the best first; their scores (B, C); and how
        many of them there are, (B,), the rest being none. Of equal scores the earlier is first.
        """
        scores = self.all_scores(users)
        seen = [self.seen.of_user(user) for user in users.tolist()]
        rows = np.repeat(np.arange(len(seen)), [len(each) for each in seen])
        scores[rows, np.concatenate(seen) - 1] = NEVER
        places = highest(scores, count)
        values = np.take_along_axis(scores, places, axis=1)
        counts = (values > NEVER).sum(axis=1)
        scale = self.metadata.encoding.get("scale")
        return places, values if scale is None else np.clip(values, *scale), counts

    def all_scores(self, users: Array) -> Array:
        """The scores of all items for each of ``users`` (B,), (B, I) float32; of products, before
        they are brought within the scale of ratings, so that the best can be told apart.
        """
        if self.is_product:
            if len(self.users) <= MOST_KEPT:
                factors = self.user_factors[users]
            else:
                factors = self._factors_of(users.astype(np.int32))
            product: Array = factors @ self.item_factors.T
            return product
        items = np.arange(1, len(self.items) + 1, dtype=np.int32)
        pairs = np.stack(np.meshgrid(users.astype(np.int32), items, indexing="ij"), axis=2)
        return self.scores(pairs.reshape(-1, 2)).reshape(len(users), len(items))

    def _similar(self, asked: Sequence[tuple[int, Question]]) -> Iterable[tuple[int, Answer]]:
        for place, each in asked:
            if each.user is not None:
                continue
            number = self.items.get(each.item or "", UNKNOWN)
            if number == UNKNOWN:
                yield place, Answer(None, (), ("item",))
                continue
            alike = self._directions @ self._directions[number - 1]
            alike[number - 1] = NEVER
            items = highest(alike[None], min(each.most, len(alike) - 1))[0]
            pairs = zip(self.item_names[items], payload.plain(alike[items]))
            yield place, Answer(None, tuple(pairs), ())


def _joined(given: Mapping[str, Dataset]) -> Interactions:
    """All that is known of the users before the test: the training and the validation channel."""
    parts = [interactions_of(given[name]) for name in (TRAIN, VALIDATION) if name in given]
    times = [each.when for each in parts if each.when is not None]
    return replace(
        parts[0],
        pairs=np.concatenate([each.pairs for each in parts]),
        ratings=np.concatenate([each.ratings for each in parts]),
        when=np.concatenate(times) if len(times) == len(parts) else None,
    )


def _answering(
    network: HybridBlock,
    run: Run[Any],
    bounds: tuple[float, float] | None,
    mean: float,
    scale: float,
) -> HybridBlock:
    """The model of ``network``: for a user and J items (N, 1 + J) the scores in units of the
    ratings, within ``bounds``; then what the towers give for the user and the first item, so that
    their product is in these units too: (N, J + 2 (K + BIASES)).
    """

    class Answering(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(prefix="units_")
            self.network = network
            fixed = {"shape": (1, 1), "grad_req": "null", "differentiable": False}
            self.mean = self.params.get("mean", **fixed)
            self.scale = self.params.get("scale", **fixed)

        def hybrid_forward(self, F: Any, ids: Any, mean: Any, scale: Any) -> Any:  # noqa: N803
            raw = self.network(ids)
            scores = F.broadcast_add(F.broadcast_mul(raw, scale), mean)
            if bounds is not None:
                scores = F.clip(scores, *bounds)
            user = F.flatten(self.network.user(F.slice_axis(ids, axis=1, begin=0, end=1)))
            item = F.flatten(self.network.item(F.slice_axis(ids, axis=1, begin=1, end=2)))
            user = F.broadcast_mul(user, scale)
            bias = F.broadcast_add(F.slice_axis(user, axis=1, begin=-2, end=-1), mean)
            factors = F.slice_axis(user, axis=1, begin=0, end=-2)
            one = F.slice_axis(user, axis=1, begin=-1, end=None)
            return F.concat(scores, factors, bias, one, item, dim=1)

    model = Answering()
    for parameter, value in ((model.mean, mean), (model.scale, scale)):
        parameter.initialize(mx.init.Constant(value), ctx=list(run.devices))
    return model


def _penalized(network: HybridBlock, strength: float) -> HybridBlock:
    """``network`` with half the squares of all that its towers give, as another column."""

    class Penalized(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(prefix="")
            self.scored = network

        def hybrid_forward(self, F: Any, ids: Any) -> Any:  # noqa: N803
            user = F.slice_axis(ids, axis=1, begin=0, end=1)
            items = F.slice_axis(ids, axis=1, begin=1, end=None)
            squares = F.sum(F.square(self.scored.user(user)), axis=(1, 2)) + F.sum(
                F.square(self.scored.item(items)), axis=(1, 2)
            )
            return F.concat(self.scored(ids), F.expand_dims(strength / 2 * squares, axis=1), dim=1)

    return Penalized()


def _loss(kind: str, penalized: bool) -> HybridBlock:
    """A loss of scores (B, J), the last column of which is a penalty where ``penalized``."""

    class RankingLoss(mx.gluon.HybridBlock):  # type: ignore[misc]
        def hybrid_forward(self, F: Any, outputs: Any, labels: Any) -> Any:  # noqa: N803
            scores = outputs
            if penalized:
                scores = F.slice_axis(outputs, axis=1, begin=0, end=-1)
            chosen = F.slice_axis(scores, axis=1, begin=0, end=1)
            others = F.slice_axis(scores, axis=1, begin=1, end=None)
            if kind == "squared":
                found = F.square(F.reshape(chosen, shape=(-1,)) - labels) / 2
            elif kind == "softmax":
                found = -F.reshape(
                    F.slice_axis(F.log_softmax(scores, axis=1), axis=1, begin=0, end=1), shape=(-1,)
                )
            elif kind == "bpr":
                apart = F.broadcast_sub(chosen, others)
                found = F.mean(F.Activation(-apart, act_type="softrelu"), axis=1)
            else:
                found = F.mean(F.Activation(others, act_type="softrelu"), axis=1) + F.reshape(
                    F.Activation(-chosen, act_type="softrelu"), shape=(-1,)
                )
            if kind != "squared":
                found = found * labels  # which are 1
            if penalized:
                penalty = F.slice_axis(outputs, axis=1, begin=-1, end=None)
                found = found + F.reshape(penalty, shape=(-1,))
            return found

    if kind not in ("squared", "softmax", "bpr", "logistic"):
        raise PluginError(f"there is no loss {kind!r}")
    return RankingLoss()
