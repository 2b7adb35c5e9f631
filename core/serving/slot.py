"""The place of a worker: the process, the one that follows when it dies, and what it is told.

A worker that dies is replaced, and what it was computing is asked again, once. A worker leaves a
batch that takes long (see worker.py), and goes on with it when nothing else waits, or has had as
much time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol, Sequence

from ..inference.requests import Reply
from ..runtime.bounds import Ledger
from ..runtime.errors import AlgoshelfError
from .begun import First
from .failures import ServingError, WorkerDiedError, remade
from .metrics import Metrics
from .options import Options
from .process import Process
from .served import Job, Served
from .wire import Message, Unpacker, pack

log = logging.getLogger(__name__)

# Long batches that a worker has begun, one a model.
MAX_LEFT = 4
SWEEP_SECONDS = 0.1
# A worker that dies this often, each time within so many seconds, keeps dying.
DEATHS, LIFE_SECONDS = 3, 10.0
MAX_BACKOFF_SECONDS = 10.0
ORDER_SECONDS = 600.0  # to load a model, or unload it


class Owner(Protocol):
    """What the place of a worker asks of the pool that it belongs to."""

    options: Options
    metrics: Metrics
    ledger: Ledger
    first: First
    coming: dict[str, Served]

    @property
    def has_several(self) -> bool: ...

    def needed(self) -> dict[str, Served]: ...
    def holds(self, key: str) -> bool: ...
    def is_coming(self, served: Served) -> bool: ...
    def killed(self, key: str, index: int, how: str) -> bool: ...
    def give_up(self, served: Served, why: str) -> None: ...
    def answered(self, key: str) -> None: ...
    def again(self, served_key: str, jobs: Sequence[Job]) -> None: ...
    def put_off(self, served_key: str, jobs: Sequence[Job]) -> None: ...
    def pump(self) -> None: ...


@dataclass
class Left:
    """A batch that a worker has begun and left: the model's key, its number there, all its jobs."""

    key: str
    number: int
    jobs: list[Job]


class Slot(Process):
    """The place of a worker: its process, the one that follows when it dies, and what it does."""

    def __init__(self, pool: Owner, index: int, device: str) -> None:
        super().__init__(index, device)
        self.pool: Owner = pool
        self.loaded: dict[str, float] = {}  # key to seconds
        self.jobs: list[Job] = []
        self.since = 0.0  # when the batch began, or was gone on with
        self.left: deque[Left] = deque()
        self.others_seconds = 0.0  # for batches since one that was left had its turn
        self.deaths = 0  # one soon after the other
        self.all_deaths = 0
        self.last_death = ""
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
        self._order = asyncio.Lock()
        self._idle = asyncio.Event()
        self._orders = 0  # that wait for the batch to end
        self._gone = asyncio.Event()
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
        self._begin(Left(key, self._numbers, jobs))
        self._is_other = True
        kinds = [(job.request.content_type, job.request.accept) for job in jobs]
        keep = self.may_leave(key)
        header = {"do": "answer", "key": key, "kinds": kinds, "batch": self._number, "keep": keep}
        self._transport.write(pack(header, [job.request.body for job in jobs]))

    def may_leave(self, key: str) -> bool:
        """Whether a batch of this model may be left, and gone on with later."""
        return len(self.left) < MAX_LEFT and all(each.key != key for each in self.left)

    def go_on(self) -> None:
        """Have it go on with the batch that it has left for the longest time."""
        assert self._transport is not None
        self.others_seconds = 0.0
        self._begin(self.left.popleft())
        self._is_other = False
        gone = [index for index, job in enumerate(self.jobs) if job.future.done()]
        self._transport.write(pack({"do": "go_on", "batch": self._number, "gone": gone}))

    def _begin(self, batch: Left) -> None:
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
                self.left.append(Left(self._key, self._number, jobs))
            elif header["rest"]:
                self.pool.put_off(self._key, jobs)
            self._idle.set()
            self.pool.pump()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_up = False
        self._gone.set()
        if self._answer is not None and not self._answer.done():
            self._loading = self._ordered
            self._answer.set_exception(WorkerDiedError(f"worker {self.index} died"))
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
            self.pool.pump()

    async def hold(self, served: Served) -> None:
        """Load a model, unless the worker is down: then the next one does.

        Raises AlgoshelfError where the model does not load, or the worker dies of it.
        """
        if not self.is_up or served.key in self.loaded:
            return
        try:
            await self._load(served)
        except ServingError as error:
            if not (isinstance(error, WorkerDiedError) or self._gone.is_set()):
                raise
            while not (self.is_up or self.keeps_dying or served.fault):
                await asyncio.sleep(SWEEP_SECONDS)
            if served.fault:
                raise served.fault from None

    async def _load(self, served: Served) -> None:
        try:
            found = (await self._ask({"do": "load", "model": served.order(self.device)})).header
        except WorkerDiedError:
            raise WorkerDiedError(
                f"{served.folder}: the process that was to load it ended meanwhile"
            ) from None
        if "error" in found:
            code, text = found["error"]
            raise remade(code, text)
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
                await asyncio.sleep(min(MAX_BACKOFF_SECONDS, 0.5 * 2 ** min(self.deaths - 2, 8)))

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
        self.pool.pump()

    async def close(self) -> None:
        """End the process."""
        self.is_up = False
        if not self.first_ready.cancel() and not self.first_ready.cancelled():
            self.first_ready.exception()  # that of another worker was told
        await self._collect()
