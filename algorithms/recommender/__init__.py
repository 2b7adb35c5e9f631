"""recommender: which items users choose, or how they rate them.

From top to bottom: hyperparameters, data, network. How it is trained, measured and asked is that
of the task: ``core/tasks/ranking.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Sequence

from pydantic import Field
from typing_extensions import Literal

from ...core import (
    TEST,
    TRAIN,
    Algorithm,
    HybridBlock,
    PublishedResult,
    Recommender,
    RecommenderHyperparameters,
    Search,
    hookimpl,
    supervised_channels,
)
from ...core.data.interactions import Interactions
from . import data as files

SAMPLE = Path(__file__).parent / "sample"


class FactorsHyperparameters(RecommenderHyperparameters):
    network: Literal["mf", "neumf"] = Field(
        "mf",
        description="Network architecture: mf (biased matrix factorization) or neumf (neural "
        "matrix factorization).",
    )
    factors: int = Field(
        64, ge=1, le=4096, description="Number of factors of each user and each item."
    )
    hidden: int = Field(
        64, ge=1, le=65_536, description="Number of units in the first hidden layer (neumf only)."
    )
    spread: float = Field(
        0.05,
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
    channels = supervised_channels(*files.FORMATS)
    published = (
        PublishedResult(
            "test:rmse", 0.9242, "MovieLens-100k, u1", "biased matrix factorization, 50 factors"
        ),
    )

    def sample(self) -> dict[str, Path]:
        return {TRAIN: SAMPLE / "train.csv", TEST: SAMPLE / "test.csv"}

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
        return hyperparameters.network == "mf"

    def network(self, hyperparameters: FactorsHyperparameters, data: Any) -> HybridBlock:
        from . import networks

        options, names = hyperparameters, data.encoding
        return networks.make(
            options.network,
            len(names["users"]),
            len(names["items"]),
            factors=options.factors,
            hidden=options.hidden,
            spread=options.spread,
            dropout=options.dropout,
        )


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [FactorRecommender]
