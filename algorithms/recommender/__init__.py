"""recommender: which items users choose, or how they rate them.

From top to bottom: hyperparameters, data, network. How it is trained, measured and asked is that
of the task: ``core/tasks/ranking.py``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping, Sequence

from pydantic import Field
from typing_extensions import Literal

from ...core import (
    TEST,
    TRAIN,
    Algorithm,
    Channel,
    Dataset,
    HybridBlock,
    PublishedResult,
    Recommender,
    RecommenderHyperparameters,
    Run,
    Search,
    hookimpl,
    mx,
    supervised_channels,
)
from ...core.data import interaction_tables as files
from ...core.data.histories import Histories, NextItems, gathered
from ...core.data.interactions import Interactions, interactions_of
from . import sides

SAMPLE = Path(__file__).parent / "sample"


class FactorsHyperparameters(RecommenderHyperparameters):
    network: Literal["mf", "fm", "neumf", "history"] = Field(
        "mf",
        description="Network architecture: mf (biased matrix factorization), fm (factorization "
        "machine: the same with the products of the columns of --users and --items), neumf "
        "(neural matrix factorization) or history (a user is also what it has had, by order; of "
        "ratings, an item also who has rated it).",
    )
    factors: int = Field(
        64, ge=1, le=4096, description="Number of factors of each user and each item."
    )
    hidden: int = Field(
        64, ge=1, le=65_536, description="Number of units in the first hidden layer (neumf only)."
    )
    history: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Number of the latest interactions of each user, and of ratings each item, "
        "that are known (history only).",
    )
    learning_rate: float = Field(
        5e-3, gt=0, le=100, description="Peak learning rate, reached at the end of the warm-up."
    )
    weight_decay: float = Field(
        2e-4, ge=0, le=1, description="Weight decay: strength of the L2 penalty on the weights."
    )
    spread: float = Field(
        0.1,
        gt=0,
        le=10,
        description="Standard deviation of the factors before the first step.",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Dropout: fraction of the factors set to zero in each step."
    )
    user_column: str = Field(
        "",
        description="Column of the users, by its heading or its number from 1. Empty: detected.",
    )
    item_column: str = Field(
        "",
        description="Column of the items, by its heading or its number from 1. Empty: detected.",
    )
    rating_column: str = Field(
        "",
        description="Column of the ratings, by its heading or its number from 1. Empty: detected.",
    )
    time_column: str = Field(
        "",
        description="Column of the times, by its heading or its number from 1. Empty: detected.",
    )

    search_space = {
        **RecommenderHyperparameters.search_space,
        "batch_size": Search(choices=(128, 256, 512, 1024)),
        "factors": Search(8, 256, log=True),
        "regularization": Search(1e-4, 1.0, log=True),
        "negatives": Search(1, 64, log=True, where={"feedback": ("implicit",)}),
        "hidden": Search(16, 256, log=True, where={"network": ("neumf",)}),
        "dropout": Search(0.0, 0.7),
    }


class FactorRecommender(Recommender):
    name = "recommender"
    task = "recommendation"
    summary = "Learns from ratings or clicks how users like items; recommends the best to each."
    Hyperparameters = FactorsHyperparameters
    channels = (
        *supervised_channels(*files.FORMATS),
        Channel(
            "users",
            "What is known of the users besides: a row each, such as age and country. Columns of "
            "numbers become ranges; a cell may hold several values (drama|crime).",
            sides.FORMATS,
        ),
        Channel("items", "What is known of the items besides, as of the users.", sides.FORMATS),
    )
    published = (
        PublishedResult(
            "test:rmse", 0.9242, "MovieLens-100k, u1", "biased matrix factorization, 50 factors"
        ),
    )

    def sample(self) -> dict[str, Path]:
        return {name: SAMPLE / f"{name}.csv" for name in (TRAIN, TEST, "users", "items")}

    def dataset(
        self,
        path: Path,
        channel: str,
        hyperparameters: FactorsHyperparameters,
        encoding: Mapping[str, Any] | None = None,
    ) -> Interactions:
        columns = {kind: getattr(hyperparameters, f"{kind}_column") for kind in files.KINDS}
        explicit = hyperparameters.feedback == "explicit"
        return files.read(path, columns, explicit=explicit, known=encoding)

    def is_product(self, hyperparameters: FactorsHyperparameters) -> bool:
        return hyperparameters.network != "neumf"

    def described(self, data: Dataset, run: Run[FactorsHyperparameters]) -> Interactions:
        """With the columns of the channels ``users`` and ``items``, where they are given."""
        pairs = interactions_of(data)
        for kind in ("user", "item"):
            channel = f"{kind}s"
            if channel not in run.channels:
                continue
            column = getattr(run.hyperparameters, f"{kind}_column")
            found = sides.read(run.channels[channel], kind, column)
            run.data[channel] = found.digest()
            run.examples[channel] = {"examples": len(found.names)}
            run.reporter.message(f"{channel}: {found.note}")
            run.cluster.check_alike(f"the channel {channel}", run.data[channel])
            names, table = sides.aligned(found, pairs.encoding[channel])
            encoding = {
                **pairs.encoding, channel: names, f"{kind}_properties": list(found.properties)
            }  # fmt: skip
            known: dict[str, Any] = {"encoding": encoding, f"{kind}_sides": table}
            pairs = replace(pairs, **known)
        return pairs

    def network(self, hyperparameters: FactorsHyperparameters, data: Dataset) -> HybridBlock:
        from . import networks

        options = hyperparameters
        return networks.make(
            options.network,
            interactions_of(data),
            factors=options.factors,
            hidden=options.hidden,
            spread=options.spread,
            dropout=options.dropout,
            user_bias=options.feedback == "explicit"
            or (options.ranking_loss == "logistic" and options.network != "history"),
            history=options.history,
        )

    def load_pretrained(
        self, network: HybridBlock, data: Dataset, run: Run[FactorsHyperparameters]
    ) -> None:
        for tower in (network.user, network.item):
            tower.settle()
        self.inform(network, interactions_of(data), run)

    def inform(
        self, network: HybridBlock, data: Interactions, run: Run[FactorsHyperparameters]
    ) -> None:
        if run.hyperparameters.network == "history":
            from . import histories

            histories.remember(network, gathered(data, run.cluster)[0])

    def learner(
        self, network: HybridBlock, data: Interactions, hyperparameters: FactorsHyperparameters
    ) -> HybridBlock:
        if not _learns_next(hyperparameters):
            return super().learner(network, data, hyperparameters)
        from . import histories

        return histories.NextItem(network, len(data.items))

    def learned(self, data: Interactions, run: Run[FactorsHyperparameters]) -> Dataset:
        if not _learns_next(run.hyperparameters):
            return super().learned(data, run)
        whole, first = gathered(data, run.cluster)
        user, item = whole.pairs[:, 0], whole.pairs[:, 1]
        had = Histories.of(user, item, whole.ratings, whole.when, len(data.users) + 1)
        return NextItems(data, had, run.hyperparameters.history, first)

    def loss(self, hyperparameters: FactorsHyperparameters) -> Any:
        if _learns_next(hyperparameters):
            return mx.gluon.loss.SoftmaxCrossEntropyLoss()
        return super().loss(hyperparameters)


def _learns_next(hyperparameters: FactorsHyperparameters) -> bool:
    """Whether each interaction is learned from as what came next, against all other items."""
    return hyperparameters.network == "history" and hyperparameters.feedback == "implicit"


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [FactorRecommender]
