"""How a new model does beside the old one, as CloudWatch measures both in the same minutes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Sequence

from .account import Account, AwsError, explained
from .rollback import Report
from .settings import Settings
from .sources import Source

NAMESPACE = "AWS/SageMaker"
ERRORS = "Invocation5XXErrors"  # a sample a request: 1 for an error of the model, else 0
CHECK_SECONDS = 60.0  # CloudWatch has a sample a minute
FULL = 100  # percent
STEPS = (10, 50, FULL)
NO_SETTINGS = Settings()


class RolledBack(AwsError):  # noqa: N818 - the update failed, the endpoint did not
    """The new model did worse, and the endpoint is as it was."""

    code = "rolled_back"


@dataclass(frozen=True)
class Metric:
    """A metric of CloudWatch with the dimensions EndpointName and VariantName.

    ``worse`` is by how many percent the new model's average may exceed the old one's; where it is
    negative, by how many it may fall below.
    """

    namespace: str
    name: str
    worse: float

    def fault(self, old: float, new: float) -> str:
        """Why ``new`` is not good enough, "" where it is."""
        limit = old * (1 + self.worse / 100)
        if (new > limit) if self.worse >= 0 else (new < limit):
            return f"{self.name} is {new:.6g}, was {old:.6g}: the limit is {limit:.6g}"
        return ""


@dataclass(frozen=True)
class Update:
    """What is asked for: percent of the traffic after each step, and what is watched between.

    ``bake`` is the seconds that each step lasts; ``errors`` the percent of 5xx answers of the new
    model above which it is taken back.
    """

    source: Source
    steps: Sequence[int] = STEPS
    bake: float = 300.0
    errors: float = 1.0
    metrics: Sequence[Metric] = ()
    settings: Settings = NO_SETTINGS


class Watch:
    """How the variant ``new`` does in each step, beside ``old``.

    ``seen`` is what was measured in each step.
    """

    def __init__(
        self, account: Account, endpoint: str, old: str, new: str, wanted: Update, report: Report
    ) -> None:
        self.account, self.endpoint, self.wanted, self.report = account, endpoint, wanted, report
        self.old, self.new = old, new
        self.seen: list[dict[str, Any]] = []
        now = datetime.now(timezone.utc)
        # When the old model last had requests of its own.
        self.baseline = (now - timedelta(seconds=max(wanted.bake, 300.0)), now)

    def bake(self, percent: int) -> None:
        """Wait out a step. Raises RolledBack as soon as the new model fails too often, or at the
        end if one of the metrics is worse.
        """
        begun, end = datetime.now(timezone.utc), time.monotonic() + self.wanted.bake
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(CHECK_SECONDS, left))
            self._check_errors(begun, percent)
        requests, failed = self._check_errors(begun, percent)
        step: dict[str, Any] = {"percent": percent, "requests": requests, "failed": failed}
        if requests:
            self.report(f"{percent} %: {requests:,} requests to the new model, {failed:,} failed")
        else:
            self.report(f"{percent} %: no request reached the new model: nothing to judge it by")
        if percent < FULL:
            self.baseline = (begun, _now())
        self._check_metrics(begun, percent, step)
        self.seen.append(step)

    def _check_errors(self, begun: datetime, percent: int) -> tuple[int, int]:
        """How many requests the new model had since, and how many failed."""
        [(total, count)] = self._read(self.new, [(NAMESPACE, ERRORS)], (begun, _now()))
        if count and total > count * self.wanted.errors / 100:
            raise RolledBack(
                f"{self.endpoint}: {total:,.0f} of {count:,.0f} requests failed with the new model "
                f"at {percent} % of the traffic, more than {self.wanted.errors:g} %: rolled back; "
                f"its log: aws logs tail /aws/sagemaker/Endpoints/{self.endpoint}"
            )
        return int(count), int(total)

    def _check_metrics(self, begun: datetime, percent: int, step: dict[str, Any]) -> None:
        metrics = self.wanted.metrics
        if not metrics:
            return
        names = [(metric.namespace, metric.name) for metric in metrics]
        olds = self._read(self.old, names, self.baseline)
        news = self._read(self.new, names, (begun, _now()))
        faults = []
        for metric, old, new in zip(metrics, olds, news):
            if not old[1] or not new[1]:
                self.report(f"{metric.name}: nothing was measured to compare by")
                continue
            means = old[0] / old[1], new[0] / new[1]
            step[metric.name] = {"old": means[0], "new": means[1]}
            self.report(f"{metric.name}: {means[1]:.6g}, with the old model {means[0]:.6g}")
            faults += [fault] if (fault := metric.fault(*means)) else []
        if faults:
            raise RolledBack(
                f"{self.endpoint}: at {percent} % of the traffic {'; '.join(faults)}: rolled back"
            )

    def _read(
        self, variant: str, metrics: Sequence[tuple[str, str]], span: tuple[datetime, datetime]
    ) -> list[tuple[float, float]]:
        """Of each metric the sum of its samples in ``span``, and how many they are."""
        dimensions = [
            {"Name": "EndpointName", "Value": self.endpoint},
            {"Name": "VariantName", "Value": variant},
        ]
        queries = [
            {
                "Id": f"{statistic.lower()}{number}",
                "MetricStat": {
                    "Metric": {"Namespace": space, "MetricName": name, "Dimensions": dimensions},
                    "Period": 60,
                    "Stat": statistic,
                },
            }
            for number, (space, name) in enumerate(metrics)
            for statistic in ("Sum", "SampleCount")
        ]
        totals = dict.fromkeys((query["Id"] for query in queries), 0.0)
        with explained():
            pages = self.account.client("cloudwatch").get_paginator("get_metric_data")
            for page in pages.paginate(
                MetricDataQueries=queries,
                StartTime=span[0].replace(second=0, microsecond=0),
                EndTime=span[1],
            ):
                for result in page["MetricDataResults"]:
                    totals[result["Id"]] += sum(result["Values"])
        return [
            (totals[f"sum{number}"], totals[f"samplecount{number}"])
            for number in range(len(metrics))
        ]


def _now() -> datetime:
    return datetime.now(timezone.utc) + timedelta(minutes=1)  # the minute under way counts
