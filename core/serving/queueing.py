"""The requests that wait for workers: which model's turn it is, and how many make a batch.

Requests to a model queue here. A worker that is free takes what waits, as one batch: at low load
nothing waits, at high load batches grow by themselves. Models take turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import Counter
from typing import Sequence

from ..inference.requests import Request, fault
from ..runtime.bounds import Ledger
from .begun import First
from .failures import given_up, unloaded
from .metrics import Metrics
from .options import Options
from .served import Job, Served
from .slot import SWEEP_SECONDS, Slot

MAX_BATCH_BYTES = 32 * 2**20
# Of bodies and answers together: so many, but so many of the largest in any case.
MAX_HELD_BYTES, MAX_HELD_BODIES = 128 * 2**20, 4
# How long others go before a worker goes on with a long batch that it has left.
TURN_SECONDS = 0.1
# Requests whose decoded bodies fit into the memory of all workers together, at their largest.
MAX_DECODED_BODIES = 2
MAX_ATTEMPTS = 2


class Queues:
    """The requests to all models, and the workers that they wait for, in ``slots``."""

    slots: Sequence[Slot]

    def __init__(self, options: Options, metrics: Metrics, first: First) -> None:
        self.options = options
        self.models: dict[str, Served] = {}
        self.metrics = metrics
        metrics.watch(lambda: self.waiting, lambda: self.up)
        self._waiting = 0
        # By model, bytes of bodies that come, wait, or are computed, and of answers on their way.
        self._held: Counter[str] = Counter()
        self._all_held = 0
        full = (options.max_queue + options.workers * options.max_batch) * options.max_payload
        most = max(MAX_HELD_BYTES, MAX_HELD_BODIES * options.max_payload)
        self._most_held = max(options.max_payload, min(most, full))
        self.first = first
        most_decoded = MAX_DECODED_BODIES * options.bounds.decoded_bytes
        self.ledger = Ledger(options.workers, most_decoded, os.dup(first.ledger))
        self._turns = 0
        self._timer: asyncio.TimerHandle | None = None

    def has_room(self, model: str, size: int) -> bool:
        """Whether ``size`` bytes for ``model`` can be held besides all others.

        However much the others hold, its own share is left to each model.
        """
        share = self._most_held // max(1, len(self.models))
        return (
            self._all_held + size <= self._most_held
            or self._held[model] + size <= share < self._most_held
        )

    def hold(self, model: str, size: int) -> None:
        """Count ``size`` bytes of a body or an answer, which some time are to be released."""
        self._held[model] += size
        self._all_held += size

    def release(self, model: str, size: int) -> None:
        """Count ``size`` bytes no longer."""
        self._held[model] -= size
        self._all_held -= size
        if not self._held[model] and model not in self.models:
            del self._held[model]

    def submit(self, served: Served, request: Request, arrived: float) -> Job:
        """A job, whose reply is to come; it is there at once where too much waits already, or where
        the model was unloaded while the body came.
        """
        job = Job(request, asyncio.get_running_loop().create_future(), arrived)
        current = self.models.get(served.name)
        if current is None:
            job.reply(unloaded(served.name))
            return job
        if current.lost:
            job.reply(given_up(served.name))
            return job
        share = self.options.max_queue // len(self.models)
        if self._waiting >= self.options.max_queue and current.waiting >= share:
            job.reply(fault(503, "overloaded", "too many requests wait: send it again later"))
            return job
        self._waiting += 1
        current.queue.append(job)
        self.pump()
        return job

    def abandon(self, served: Served, job: Job) -> None:
        """Compute no more what nobody waits for, unless a worker has it already."""
        current = self.models.get(served.name)
        for queue in (current.queue, current.long) if current is not None else ():
            with contextlib.suppress(ValueError):
                queue.remove(job)
                self._waiting -= 1
        job.reply(fault(400, "disconnected", "the client went away"))

    @property
    def up(self) -> int:
        """How many workers are up."""
        return sum(slot.is_up for slot in self.slots)

    @property
    def waiting(self) -> int:
        """How many requests wait for a worker."""
        return self._waiting

    def taken(self, served: Served) -> Job:
        self._waiting -= 1
        return (served.queue or served.long).popleft()

    def again(self, served_key: str, jobs: Sequence[Job]) -> None:
        """Queue anew, before all others, what a worker left unanswered."""
        name = served_key.rpartition("@")[0]
        served = self.models.get(name)
        for job in reversed(jobs):
            job.attempts += 1
            if served is not None and served.lost:
                job.reply(given_up(name))
            elif served is None or job.attempts >= MAX_ATTEMPTS:
                job.reply(fault(503, "worker_died", "a worker died while computing this request"))
            elif not job.future.done():
                self._waiting += 1
                served.queue.appendleft(job)
        self.pump()

    def put_off(self, served_key: str, jobs: Sequence[Job]) -> None:
        """Queue what takes long until a worker has room to begin with it."""
        served = self.models.get(served_key.rpartition("@")[0])
        for job in jobs:
            if served is None:
                job.reply(fault(404, "no_such_model", "the model was unloaded"))
            elif served.lost:
                job.reply(given_up(served.name))
            elif not job.future.done():
                self._waiting += 1
                served.long.append(job)

    def pump(self) -> None:
        """Give what waits to the workers that are free."""
        for slot in self.slots:
            while slot.is_free and (self._waiting or slot.left):
                served = self._next(slot, time.monotonic()) if self._waiting else None
                if slot.left and (served is None or slot.others_seconds >= TURN_SECONDS):
                    slot.go_on()
                    break
                if served is None:
                    break
                jobs = self._batch(served, slot)
                if jobs:
                    self._turns += 1
                    served.turn = self._turns
                    slot.give(served.key, jobs)
                    self.metrics.batch(served.name, len(jobs))

    def _next(self, slot: Slot, now: float) -> Served | None:
        """The model whose turn it is of those for which a free worker can do something."""
        ready = [
            each
            for each in self.models.values()
            if each.key in slot.loaded
            and each.suspect_at in (None, slot.index)
            and (
                (each.queue and not self._worth_waiting(each, now))
                or (each.long and slot.may_leave(each.key))
            )
        ]
        return min(ready, key=lambda each: each.turn, default=None)

    def _worth_waiting(self, served: Served, now: float) -> bool:
        """Whether more are about to come: the last batch was larger than what waits."""
        if len(served.queue) >= min(served.last_batch, self.options.max_batch):
            return False
        left = served.queue[0].arrived + self.options.max_delay - now
        if left <= 0:
            return False
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(left, self._waited)
        return True

    def answered(self, key: str) -> None:
        """Take in that a worker has lived through a batch of the model ``key``."""
        served = self.models.get(key.rpartition("@")[0])
        if served is not None and served.kills:
            served.kills, served.suspect_at = 0, None

    def _waited(self) -> None:
        self._timer = None
        self.pump()

    def _batch(self, served: Served, slot: Slot) -> list[Job]:
        """What a free worker takes: its share of what waits; who was asked before, alone.

        What is known to take long takes turns with all else.
        """
        if served.long and slot.may_leave(served.key) and not (served.queue and served.was_long):
            served.was_long = True
            self._waiting -= 1
            job = served.long.popleft()
            return [] if job.future.done() else [job]
        served.was_long = False
        free = sum(slot.is_free for slot in self.slots) or 1
        share = min(self.options.max_batch, -(-len(served.queue) // free))
        jobs: list[Job] = []
        size = 0
        while served.queue and len(jobs) < share:
            first = served.queue[0]
            size += len(first.request.body)
            if jobs and (size > MAX_BATCH_BYTES or first.attempts):
                break
            job = self.taken(served)
            if not job.future.done():
                jobs.append(job)
                if job.attempts:
                    break
        served.last_batch = max(1, len(jobs))
        return jobs

    async def sweep(self) -> None:
        """Answer those who have waited too long, and end the workers that take too long."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            oldest = time.monotonic() - self.options.timeout
            late = fault(504, "timeout", f"no answer within {self.options.timeout:g} s")
            for served in list(self.models.values()):
                while served.queue and served.queue[0].arrived < oldest:
                    self.taken(served).reply(late)
                for job in served.long:
                    if job.arrived < oldest:  # it leaves the queue when its turn comes
                        job.reply(late)
            for slot in self.slots:
                for job in (*slot.jobs, *(job for left in slot.left for job in left.jobs)):
                    if job.arrived < oldest:
                        job.reply(late)
                if slot.jobs and slot.since < oldest:
                    slot.end(f"it took more than {self.options.timeout:g} s for a batch")
