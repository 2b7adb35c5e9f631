"""Workers and the requests that wait for them.

Requests to a model queue here. A worker that is free takes what waits, as one batch: at low load
nothing waits, at high load batches grow by themselves. A worker leaves a batch that takes long
(see worker.py), and goes on with it when nothing else waits, or has had as much time. Models take
turns. A worker that dies is replaced, and what it was computing is asked again, once.

Where several models are served, none is to cost the others their answers: one of which a worker has
died is asked in that worker's place alone, until it answers; when it dies of it again, the model is
given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, Sequence, Tuple

from .. import payload
from ..algorithm.base import Algorithm
from ..artifact.folder import Artifact
from ..artifact.metadata import Metadata
from ..inference.requests import Reply, Request, fault
from ..runtime.bounds import MOST_EXAMPLES, Bounds, Ledger
from ..runtime.errors import (
    AlgoshelfError,
    ArtifactError,
    InputError,
    MissingDependencyError,
    PluginError,
    UnknownNameError,
)
from .metrics import Metrics
from .wire import Message, Unpacker, pack

log = logging.getLogger(__name__)

Opener = Callable[[Path], Tuple[Artifact, Algorithm[Any]]]

WORKER = "algoshelf.core.serving.worker"
MOST_BATCH_BYTES = 32 * 2**20
# Of bodies and answers together: so many, but so many of the largest in any case.
MOST_HELD_BYTES, MOST_HELD_BODIES = 128 * 2**20, 4
# Long batches that a worker has begun, one a model, and how long others go before it goes on.
MOST_LEFT, TURN_SECONDS = 4, 0.1
# Requests whose decoded bodies fit into the memory of all workers together, at their largest.
MOST_DECODED_BODIES = 2
SWEEP_SECONDS = 0.1
MOST_ATTEMPTS = 2
KILLED = "signal 9"
MOST_KILLS = 2  # one after the other, by one of several models
MOST_FITTING = 100
# A worker that dies this often, each time within so many seconds, keeps dying.
DEATHS, LIFE_SECONDS = 3, 10.0
MOST_BACKOFF_SECONDS = 10.0
START_SECONDS = 120.0
ORDER_SECONDS = 600.0  # to load a model, or unload it
END_SECONDS = 3.0


class ServingError(AlgoshelfError):
    """A model cannot be served any more."""

    code = "serving_failed"


class WorkersDownError(ServingError):
    """No worker lives long enough to load a model; it may be none of the model's fault."""

    code = "workers_down"


@dataclass(frozen=True)
class Options:
    """How a pool works: ``max_delay`` and ``timeout`` in seconds, ``threads`` of an operator.

    ``max_queue`` is how many requests may wait in all, ``max_payload`` how many bytes a body holds,
    ``max_examples`` how many examples; ``manages`` is whether models may be loaded, replaced and
    unloaded by request, from the folders ``roots``.

    ``hosts`` are the names by which the server may be called, None for any name; with a ``token``
    whoever asks has to know it.
    """

    workers: int
    threads: int
    devices: Sequence[str] = ("cpu",)
    max_batch: int = 32
    max_delay: float = 0.002
    timeout: float = 60.0
    max_queue: int = 1000
    max_payload: int = 6 * 2**20
    max_examples: int = MOST_EXAMPLES
    manages: bool = False
    roots: Sequence[Path] = ()
    hosts: tuple[str, ...] | None = None
    token: bytes = b""

    @property
    def bounds(self) -> Bounds:
        """What one request may cost."""
        return Bounds.of(self.max_payload, self.max_examples, self.timeout)


class _WorkerDiedError(ServingError):
    """A worker has died while it carried out an order."""


class Job:
    """A request that waits for its reply."""

    __slots__ = ("arrived", "attempts", "future", "request")

    def __init__(self, request: Request, future: asyncio.Future[Reply], arrived: float) -> None:
        self.request = request
        self.future = future
        self.arrived = arrived
        self.attempts = 0

    def reply(self, reply: Reply) -> None:
        if not self.future.done():
            self.future.set_result(reply)


@dataclass
class Served:
    """A model that is served: ``key`` names this version of it in the workers.

    ``fault`` is why a worker could not load it; ``lost`` why it is served no longer. ``kills``
    workers have died of it since it answered, at last the one at the place ``suspect_at``.
    """

    name: str
    key: str
    folder: Path
    algorithm: Algorithm[Any]
    metadata: Metadata
    seconds: float = 0.0
    fault: AlgoshelfError | None = None
    lost: str = ""
    kills: int = 0
    suspect_at: int | None = None
    queue: deque[Job] = field(default_factory=deque)
    long: deque[Job] = field(
        default_factory=deque
    )  # which a worker has left once, for want of room
    last_batch: int = 1
    turn: int = 0  # the last one
    fitting: set[tuple[str, str]] = field(default_factory=set)  # Content-Type and Accept
    was_long: bool = False

    def check(self, content_type: str, accept: str) -> None:
        """Raises PayloadError where no request of this Content-Type and Accept is answered."""
        if (content_type, accept) not in self.fitting:
            payload.check_content_type(content_type, self.algorithm.accepted())
            payload.negotiate(accept, self.algorithm.answered())
            if len(self.fitting) < MOST_FITTING:
                self.fitting.add((content_type, accept))

    @property
    def waiting(self) -> int:
        """How many requests to it wait."""
        return len(self.queue) + len(self.long)

    def order(self, device: str) -> dict[str, str]:
        """What a worker is told to load."""
        cls = type(self.algorithm)
        return {
            "key": self.key,
            "algorithm": f"{cls.__module__}:{cls.__qualname__}",
            "folder": str(self.folder),
            "device": device,
        }


class Pool:
    """The workers of a server, and the models that all of them hold.

    Who loads or unloads holds ``changing`` from before it looks whether it may: two who look at
    once would both find what only one of them can have.
    """

    def __init__(self, options: Options, opener: Opener, metrics: Metrics) -> None:
        self.options = options
        self.models: dict[str, Served] = {}
        self.changing = asyncio.Lock()
        self.metrics = metrics
        metrics.watch(lambda: self.waiting, lambda: self.up)
        self.coming: dict[str, Served] = {}  # by key: being loaded, not served yet
        self._open = opener
        self._slots = [
            _Slot(self, index, options.devices[index % len(options.devices)])
            for index in range(options.workers)
        ]
        self._waiting = 0
        # By model, bytes of bodies that come, wait, or are computed, and of answers on their way.
        self._held: Counter[str] = Counter()
        self._all_held = 0
        full = (options.max_queue + options.workers * options.max_batch) * options.max_payload
        most = max(MOST_HELD_BYTES, MOST_HELD_BODIES * options.max_payload)
        self._most_held = max(options.max_payload, min(most, full))
        self.ledger = Ledger(options.workers, MOST_DECODED_BODIES * options.bounds.decoded_bytes)
        self._turns = 0
        self._versions = 0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._started = False
        self.closing = False

    # Models

    async def start(self, models: dict[str, Path]) -> None:
        """Start the workers, and load ``models``, folders by name, into each of them.

        Raises what a model that does not load raises.
        """
        async with self.changing:
            self._tasks.append(asyncio.ensure_future(self._sweep()))
            served = [self._opened(name, folder) for name, folder in models.items()]
            self.coming.update((each.key, each) for each in served)
            self._tasks.extend(asyncio.ensure_future(slot.live()) for slot in self._slots)
            for slot in self._slots:
                await slot.first_ready
            for each in served:
                del self.coming[each.key]
                self.models[each.name] = each
                self.metrics.loaded(each.name, each.seconds)
            self._started = True

    def _opened(self, name: str, folder: Path) -> Served:
        artifact, algorithm = self._open(folder)
        self._versions += 1
        return Served(name, f"{name}@{self._versions}", folder, algorithm, artifact.metadata)

    async def load(self, name: str, folder: Path) -> None:
        """Serve the model in ``folder`` as ``name``, in place of the one that was; no request
        fails meanwhile. Raises what a model that does not load raises; then all is as it was.
        """
        new = self._opened(name, folder)
        self.coming[new.key] = new
        most_deaths = [slot.all_deaths + DEATHS for slot in self._slots]
        try:
            for slot in self._slots:
                await slot.hold(new)
            while new.fault is None and not any(new.key in s.loaded for s in self._slots):
                if all(s.all_deaths >= most for s, most in zip(self._slots, most_deaths)):
                    raise WorkersDownError(
                        f"each worker died {DEATHS} times meanwhile, at last of: "
                        f"{self._slots[0].last_death}"
                    )
                await asyncio.sleep(SWEEP_SECONDS)  # all were down: one will come up
            if new.fault is not None:
                raise new.fault
        except AlgoshelfError:
            await self._forget(new.key)
            raise
        finally:
            del self.coming[new.key]
        old = self.models.get(name)
        if old is not None:
            new.queue, new.long, new.last_batch = old.queue, old.long, old.last_batch
        self.models[name] = new
        self.metrics.loaded(name, new.seconds)
        if old is not None:
            await self._forget(old.key)
        self._pump()

    async def unload(self, name: str) -> None:
        """Serve ``name`` no longer. Raises UnknownNameError."""
        if name not in self.models:
            raise UnknownNameError(f"there is no model {name!r}")
        old = self.models.pop(name)
        while old.waiting:
            self._taken(old).reply(_unloaded(name))
        await self._forget(old.key)
        self.metrics.unloaded(name)

    async def _forget(self, key: str) -> None:
        for slot in self._slots:
            await slot.drop(key)

    def needed(self) -> dict[str, Served]:
        """By key, what every worker has to hold."""
        kept = {each.key: each for each in self.models.values() if not each.lost}
        return {**kept, **self.coming}

    @property
    def has_several(self) -> bool:
        """Whether there is a model that another could cost its answers."""
        return sum(not each.lost for each in self.models.values()) > 1

    def killed(self, key: str, index: int, how: str) -> bool:
        """Take in that the worker at the place ``index`` died of the model ``key``; whether that is
        the model's fault, and says nothing about the worker.
        """
        if key in self.coming:
            if how == KILLED:  # from outside, it may be: the next one tries, and then no more
                return False
            folder = self.coming[key].folder
            self.coming[key].fault = ServingError(f"{folder}: loading it ended the process ({how})")
            return True
        served = self.models.get(key.rpartition("@")[0])
        if served is None or served.key != key or not (self.has_several or served.lost):
            return False
        served.kills += 1
        served.suspect_at = index
        if served.kills >= MOST_KILLS:
            self.give_up(served, f"{served.kills} workers died of it, at last of {how}")
        return True

    def give_up(self, served: Served, why: str) -> None:
        """Serve a model no longer, and say so to all who ask it."""
        served.lost = why
        log.error("%s (%s) is given up: %s", served.name, served.folder, why)
        self._tasks.append(asyncio.ensure_future(self._forget(served.key)))
        while served.waiting:
            self._taken(served).reply(_given_up(served.name))

    def holds(self, key: str) -> bool:
        """Whether any worker has loaded the model ``key``."""
        return any(key in slot.loaded for slot in self._slots)

    def is_coming(self, served: Served) -> bool:
        """Whether a model is being loaded into a server that could do without it."""
        return self._started and served.key in self.coming

    def unready(self) -> str:
        """Why no request should be sent here; empty when the server is ready."""
        if self.closing:
            return "the server is shutting down"
        for slot in self._slots:
            if slot.keeps_dying:
                return f"worker {slot.index} keeps dying; the server's log says why"
        if not self._started:
            return "the models are being loaded"
        if not self.up:
            return "no worker is up"
        if self.models and all(each.lost for each in self.models.values()):
            return "every model has been given up; the server's log says why"
        return ""

    # Requests

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
            job.reply(_unloaded(served.name))
            return job
        if current.lost:
            job.reply(_given_up(served.name))
            return job
        share = self.options.max_queue // len(self.models)
        if self._waiting >= self.options.max_queue and current.waiting >= share:
            job.reply(fault(503, "overloaded", "too many requests wait: send it again later"))
            return job
        self._waiting += 1
        current.queue.append(job)
        self._pump()
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
        return sum(slot.is_up for slot in self._slots)

    @property
    def waiting(self) -> int:
        """How many requests wait for a worker."""
        return self._waiting

    def _taken(self, served: Served) -> Job:
        self._waiting -= 1
        return (served.queue or served.long).popleft()

    def again(self, served_key: str, jobs: Sequence[Job]) -> None:
        """Queue anew, before all others, what a worker left unanswered."""
        name = served_key.rpartition("@")[0]
        served = self.models.get(name)
        for job in reversed(jobs):
            job.attempts += 1
            if served is not None and served.lost:
                job.reply(_given_up(name))
            elif served is None or job.attempts >= MOST_ATTEMPTS:
                job.reply(fault(503, "worker_died", "a worker died of this request, or with it"))
            elif not job.future.done():
                self._waiting += 1
                served.queue.appendleft(job)
        self._pump()

    def put_off(self, served_key: str, jobs: Sequence[Job]) -> None:
        """Queue what takes long until a worker has room to begin with it."""
        served = self.models.get(served_key.rpartition("@")[0])
        for job in jobs:
            if served is None:
                job.reply(fault(404, "no_such_model", "the model was unloaded"))
            elif served.lost:
                job.reply(_given_up(served.name))
            elif not job.future.done():
                self._waiting += 1
                served.long.append(job)

    def _pump(self) -> None:
        """Give what waits to the workers that are free."""
        for slot in self._slots:
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

    def _next(self, slot: _Slot, now: float) -> Served | None:
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
        self._pump()

    def _batch(self, served: Served, slot: _Slot) -> list[Job]:
        """What a free worker takes: its share of what waits; who was asked before, alone.

        What is known to take long takes turns with all else.
        """
        if served.long and slot.may_leave(served.key) and not (served.queue and served.was_long):
            served.was_long = True
            self._waiting -= 1
            job = served.long.popleft()
            return [] if job.future.done() else [job]
        served.was_long = False
        free = sum(slot.is_free for slot in self._slots) or 1
        share = min(self.options.max_batch, -(-len(served.queue) // free))
        jobs: list[Job] = []
        size = 0
        while served.queue and len(jobs) < share:
            first = served.queue[0]
            size += len(first.request.body)
            if jobs and (size > MOST_BATCH_BYTES or first.attempts):
                break
            job = self._taken(served)
            if not job.future.done():
                jobs.append(job)
                if job.attempts:
                    break
        served.last_batch = max(1, len(jobs))
        return jobs

    async def _sweep(self) -> None:
        """Answer those who have waited too long, and end the workers that take too long."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            oldest = time.monotonic() - self.options.timeout
            late = fault(504, "timeout", f"no answer within {self.options.timeout:g} s")
            for served in list(self.models.values()):
                while served.queue and served.queue[0].arrived < oldest:
                    self._taken(served).reply(late)
                for job in served.long:
                    if job.arrived < oldest:  # it leaves the queue when its turn comes
                        job.reply(late)
            for slot in self._slots:
                for job in (*slot.jobs, *(job for left in slot.left for job in left.jobs)):
                    if job.arrived < oldest:
                        job.reply(late)
                if slot.jobs and slot.since < oldest:
                    slot.end(f"it took more than {self.options.timeout:g} s for a batch")

    async def close(self) -> None:
        """End the workers."""
        self.closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(slot.close() for slot in self._slots))
        self.ledger.close()


@dataclass
class _Left:
    """A batch that a worker has begun and left: the model's key, its number there, all its jobs."""

    key: str
    number: int
    jobs: list[Job]


class _Slot(asyncio.Protocol):
    """The place of a worker: its process, the one that follows when it dies, and what it does."""

    def __init__(self, pool: Pool, index: int, device: str) -> None:
        self.pool = pool
        self.index = index
        self.device = device
        self.loaded: dict[str, float] = {}  # key to seconds
        self.jobs: list[Job] = []
        self.since = 0.0  # when the batch began, or was gone on with
        self.left: deque[_Left] = deque()
        self.others_seconds = 0.0  # for batches since one that was left had its turn
        self.deaths = 0  # one soon after the other
        self.all_deaths = 0
        self.last_death = ""
        self.reason = ""
        self.is_up = False
        self._up_since = 0.0
        self.first_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._key = ""  # of the model that computes
        self._ordered = ""  # the key of the model that it is to load
        self._loading = ""  # the key of the model that it died of while it loaded it
        self._refused: set[str] = set()  # the keys of those that this worker could not load
        self._number = 0  # of its batch
        self._numbers = 0
        self._is_other = False  # than those that were left
        self._answer: asyncio.Future[Message] | None = None
        self._order = asyncio.Lock()
        self._idle = asyncio.Event()
        self._orders = 0  # that wait for the batch to end
        self._gone = asyncio.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.Transport | None = None
        self._unpacker = Unpacker()

    @property
    def is_free(self) -> bool:
        """Whether it can take a batch."""
        return self.is_up and not self.jobs and not self._orders

    @property
    def keeps_dying(self) -> bool:
        """Whether it has died again and again, and has not proved since that it lives."""
        lives = self.is_up and time.monotonic() - self._up_since >= LIFE_SECONDS
        return self.deaths >= DEATHS and not lives

    def give(self, key: str, jobs: list[Job]) -> None:
        """Have it compute a batch."""
        assert self._transport is not None
        self._numbers += 1
        self._begin(_Left(key, self._numbers, jobs))
        self._is_other = True
        kinds = [(job.request.content_type, job.request.accept) for job in jobs]
        keep = self.may_leave(key)
        header = {"do": "answer", "key": key, "kinds": kinds, "batch": self._number, "keep": keep}
        self._transport.write(pack(header, [job.request.body for job in jobs]))

    def may_leave(self, key: str) -> bool:
        """Whether a batch of this model may be left, and gone on with later."""
        return len(self.left) < MOST_LEFT and all(each.key != key for each in self.left)

    def go_on(self) -> None:
        """Have it go on with the batch that it has left for the longest time."""
        assert self._transport is not None
        self.others_seconds = 0.0
        self._begin(self.left.popleft())
        self._is_other = False
        gone = [index for index, job in enumerate(self.jobs) if job.future.done()]
        self._transport.write(pack({"do": "go_on", "batch": self._number, "gone": gone}))

    def _begin(self, batch: _Left) -> None:
        self.jobs, self._key, self._number = batch.jobs, batch.key, batch.number
        self.since = time.monotonic()
        self._idle.clear()

    # What the process sends

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for message in self._unpacker.feed(data):
            if self._answer is not None:
                self._answer.set_result(message)
                self._answer = None
                continue
            jobs, self.jobs = self.jobs, []
            header = message.header
            for (index, status, kind), body in zip(header["replies"], message.bodies):
                jobs[index].reply(Reply(status, kind, body))
            self.pool.answered(self._key)
            if self._is_other:
                self.others_seconds += time.monotonic() - self.since
            if header["kept"]:
                self.left.append(_Left(self._key, self._number, jobs))
            elif header["rest"]:
                self.pool.put_off(self._key, jobs)
            self._idle.set()
            self.pool._pump()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_up = False
        self._gone.set()
        if self._answer is not None and not self._answer.done():
            self._loading = self._ordered
            self._answer.set_exception(_WorkerDiedError(f"worker {self.index} died"))
        self._answer = None

    # Orders: one at a time, and between batches

    async def _ask(self, header: dict[str, Any]) -> Message:
        self._orders += 1
        try:
            async with self._order:
                while self.jobs and not self._gone.is_set():
                    await self._idle.wait()
                if self._gone.is_set() or self._transport is None:
                    raise ServingError(f"worker {self.index} died")
                self._answer = asyncio.get_running_loop().create_future()
                self._ordered = header.get("model", {}).get("key", "")
                self._transport.write(pack(header))
                hangs = f"it took more than {ORDER_SECONDS:g} s to {header['do']} a model"
                timer = asyncio.get_running_loop().call_later(ORDER_SECONDS, self.end, hangs)
                try:
                    return await self._answer
                finally:
                    timer.cancel()
        finally:
            self._orders -= 1
            self.pool._pump()

    async def hold(self, served: Served) -> None:
        """Load a model, unless the worker is down: then the next one does.

        Raises AlgoshelfError where the model does not load, or the worker dies of it.
        """
        if not self.is_up or served.key in self.loaded:
            return
        try:
            await self._load(served)
        except ServingError as error:
            if not (isinstance(error, _WorkerDiedError) or self._gone.is_set()):
                raise
            while not (self.is_up or self.keeps_dying or served.fault):
                await asyncio.sleep(SWEEP_SECONDS)
            if served.fault:
                raise served.fault from None

    async def _load(self, served: Served) -> None:
        try:
            found = (await self._ask({"do": "load", "model": served.order(self.device)})).header
        except _WorkerDiedError:
            raise _WorkerDiedError(
                f"{served.folder}: the process that was to load it ended meanwhile"
            ) from None
        if "error" in found:
            code, text = found["error"]
            raise _remade(code, text)
        self.loaded[served.key] = found["seconds"]
        served.seconds = max(served.seconds, found["seconds"])

    async def _load_or_leave(self, served: Served) -> None:
        """Load a model that is needed; leave one that is yet to be served, or one of several, if it
        does not load.
        """
        try:
            await self._load(served)
        except AlgoshelfError as error:
            if self.pool.is_coming(served):  # the worker that follows leaves what this one died of
                served.fault = served.fault or error
                if self._gone.is_set():
                    raise
            elif self._gone.is_set():
                raise
            elif self.pool.has_several and served.key not in self.pool.coming:
                self._refused.add(served.key)
                if not self.pool.holds(served.key):
                    self.pool.give_up(served, str(error))
            else:
                raise

    async def drop(self, key: str) -> None:
        """Forget a model."""
        if self.loaded.pop(key, None) is not None:
            with contextlib.suppress(ServingError):
                await self._ask({"do": "unload", "key": key})

    # Life

    async def live(self) -> None:
        """Keep a worker in this place."""
        while True:
            self._up_since = math.inf
            self._gone = asyncio.Event()
            self._unpacker = Unpacker()
            self.reason = self._loading = self._ordered = ""
            self._refused = set()
            try:
                await self._start()
                await self._prepare()
                await self._gone.wait()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self.reason = self.reason or str(error)
                if not self.first_ready.done():
                    self.first_ready.set_exception(error)
                    return
            self.is_up = False
            self.loaded.clear()
            code = await self._collect()
            lived = time.monotonic() - self._up_since
            culprit = self._loading or (self._key if self.jobs and not self.reason else "")
            self.last_death = f"{self.reason}: {code}" if self.reason else code
            blamed = self.pool.killed(culprit, self.index, code)
            if not blamed:
                self.deaths = 1 if lived > LIFE_SECONDS else self.deaths + 1
                self.all_deaths += 1
            log.warning("worker %d is gone (%s): it is replaced", self.index, self.last_death)
            self.pool.metrics.restarts.inc()
            jobs, self.jobs = self.jobs, []
            left, self.left = self.left, deque()
            self._idle.set()
            self.pool.ledger.set(self.index, 0)
            for each in left:
                self.pool.put_off(each.key, each.jobs)
            self.pool.again(self._key, jobs)
            if not blamed:
                await asyncio.sleep(min(MOST_BACKOFF_SECONDS, 0.5 * 2 ** min(self.deaths - 2, 8)))

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        ledger, options = self.pool.ledger, self.pool.options
        limits = {
            "bounds": asdict(options.bounds),
            "ledger": ledger.descriptor,
            "workers": ledger.count,
            "decoded": ledger.most,
            "index": self.index,
        }
        with theirs:
            environment = {"OMP_NUM_THREADS": str(options.threads), **os.environ}
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", WORKER),
                    *(str(theirs.fileno()), self.device, json.dumps(limits)),
                ],
                env=environment,
                pass_fds=(theirs.fileno(), ledger.descriptor),
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),
                start_new_session=True,  # a terminal's Ctrl-C is the server's affair
            )
        loop = asyncio.get_running_loop()
        imported: asyncio.Future[Message] = loop.create_future()
        self._answer = imported
        await loop.create_connection(lambda: self, sock=ours)
        try:
            found = (await asyncio.wait_for(imported, START_SECONDS)).header
        except asyncio.TimeoutError:
            raise ServingError(f"it did not start within {START_SECONDS:g} s") from None
        if "error" in found:
            raise _remade(*found["error"])

    async def _prepare(self) -> None:
        """Load what is needed, even what comes to it meanwhile, and take part."""
        while True:
            needed = self.pool.needed()
            for key in self.loaded.keys() - needed.keys():  # replaced while it was loaded
                await self.drop(key)
            held = self.loaded.keys() | self._refused
            missing = [m for k, m in needed.items() if k not in held and m.fault is None]
            if not missing:
                break
            for served in missing:
                await self._load_or_leave(served)
        self.is_up = True
        self._up_since = time.monotonic()
        if not self.first_ready.done():
            self.first_ready.set_result(None)
        self.pool._pump()

    def end(self, reason: str) -> None:
        """Kill the worker."""
        self.reason = reason
        if self._process is not None:
            self._process.kill()

    async def _collect(self) -> str:
        """How the process ended; it is killed if it has not."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        process = self._process
        if process is None:
            return "no process"
        deadline = time.monotonic() + END_SECONDS
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
            await asyncio.sleep(0.01)
        self._process = None
        code = process.returncode
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    async def close(self) -> None:
        """End the process."""
        self.is_up = False
        if not self.first_ready.cancel() and not self.first_ready.cancelled():
            self.first_ready.exception()  # that of another worker was told
        await self._collect()


def _given_up(name: str) -> Reply:
    text = f"the model {name!r} ended the processes that computed it; the server's log says more"
    return fault(503, "model_given_up", text)


def _unloaded(name: str) -> Reply:
    return fault(404, "no_such_model", f"the model {name!r} was unloaded")


def _remade(code: str, text: str) -> AlgoshelfError:
    """The error of a worker, here."""
    known = (ArtifactError, InputError, MissingDependencyError, PluginError)
    return next((kind for kind in known if kind.code == code), ServingError)(text)
