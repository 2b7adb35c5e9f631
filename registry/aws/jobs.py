"""Jobs by their names: training, batch transform and tuning; how they stand and what they say."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator

from ...core.errors import InputError
from .account import Account, AwsError, explained

ENDED = frozenset(["Completed", "Failed", "Stopped"])
ABSENT = ("ValidationException", "ResourceNotFound", "ResourceNotFoundException")
POLL_SECONDS = 10.0


@dataclass(frozen=True)
class Kind:
    """One of SageMaker's three kinds: its name in the API, and the log group, "" without one."""

    title: str
    api: str
    log_group: str

    @property
    def operation(self) -> str:
        """``describe_training_job``."""
        words = "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in self.api)
        return f"describe{words}"


TRAINING = Kind("training", "TrainingJob", "/aws/sagemaker/TrainingJobs")
TRANSFORM = Kind("transform", "TransformJob", "/aws/sagemaker/TransformJobs")
TUNING = Kind("tuning", "HyperParameterTuningJob", "")
KINDS = (TRAINING, TRANSFORM, TUNING)


@dataclass
class Job:
    """A job in ``account``; ``description`` is AWS's, as of the last ``refresh``."""

    account: Account
    name: str
    kind: Kind
    description: dict[str, Any]
    _tokens: dict[str, str] = field(default_factory=dict)

    @classmethod
    def find(cls, account: Account, name: str) -> Job:
        """The job ``name`` of any kind. Raises InputError where there is none, AwsError."""
        for kind in KINDS:
            try:
                return cls(account, name, kind, _described(account, name, kind))
            except AwsError as error:
                if error.aws_code not in ABSENT:
                    raise
        raise InputError(
            f"{name}: no such training, transform or tuning job in {account.region}: "
            "`algoshelf sagemaker list` shows what is running"
        )

    @property
    def status(self) -> str:
        """``InProgress``, ``Completed``, ``Failed``, ``Stopping`` or ``Stopped``."""
        return str(self.description[f"{self.kind.api}Status"])

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def failure(self) -> str:
        """Why it failed, in a line; "" where it did not."""
        lines = str(self.description.get("FailureReason", "")).strip().splitlines()
        return lines[0] if lines else ""

    def refresh(self) -> None:
        """Ask AWS how it stands."""
        self.description = _described(self.account, self.name, self.kind)

    def lines(self) -> Iterator[str]:
        """The lines that came to its log since the last call, of one host after the other.

        With several hosts each line begins with the number of its host. A tuning job has no log:
        there it is a line when its trainings stand otherwise than before.
        """
        if not self.kind.log_group:
            counts = self.description.get("TrainingJobStatusCounters", {})
            told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
            if told and told != self._tokens.get(self.name):
                self._tokens[self.name] = told
                yield f"trainings: {told}"
            return
        with explained():
            streams = self._streams()
            for number, stream in enumerate(streams, 1):
                mark = f"[{number}] " if len(streams) > 1 else ""
                for line in self._new_lines(stream):
                    yield mark + line

    def follow(self, show: Callable[[str], None], pause: float = POLL_SECONDS) -> None:
        """Show the lines of its log as they come, until it has ended."""
        while True:
            self.refresh()
            ended = self.has_ended
            for line in self.lines():
                show(line)
            if ended:
                return
            time.sleep(pause)

    def _streams(self) -> list[str]:
        """The names of its log's streams, one a host; none before the first host has started."""
        client = self.account.client("logs")
        pages = client.get_paginator("describe_log_streams").paginate(
            logGroupName=self.kind.log_group, logStreamNamePrefix=f"{self.name}/"
        )
        try:
            return [found["logStreamName"] for page in pages for found in page["logStreams"]]
        except client.exceptions.ResourceNotFoundException:
            return []

    def _new_lines(self, stream: str) -> Iterator[str]:
        client = self.account.client("logs")
        while True:
            since = {"nextToken": self._tokens[stream]} if stream in self._tokens else {}
            answer = client.get_log_events(
                logGroupName=self.kind.log_group,
                logStreamName=stream,
                startFromHead=True,
                **since,
            )
            for event in answer["events"]:
                yield str(event["message"]).rstrip("\n")
            token = answer["nextForwardToken"]
            if token == self._tokens.get(stream):
                return
            self._tokens[stream] = token


def _described(account: Account, name: str, kind: Kind) -> dict[str, Any]:
    with explained():
        describe = getattr(account.client("sagemaker"), kind.operation)
        return dict(describe(**{f"{kind.api}Name": name}))
