"""The workers of a server, and the models that they hold: loaded, replaced, unloaded, given up.

Where several models are served, none is to cost the others their answers: one of which a worker has
died is asked in that worker's place alone, until it answers; when it dies of it again, the model is
given up.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, Callable, Tuple

from ..algorithm.base import Algorithm
from ..artifact import engines
from ..artifact.folder import Artifact
from ..runtime.errors import AlgoshelfError, UnknownNameError
from .begun import First
from .failures import ServingError, WorkersDownError, given_up, unloaded
from .metrics import Metrics
from .options import Options
from .queueing import Queues
from .served import Served
from .slot import DEATHS, SWEEP_SECONDS, Slot

log = logging.getLogger(__name__)

Opener = Callable[[Path], Tuple[Artifact, Algorithm[Any]]]

KILLED = "signal 9"
MAX_KILLS = 2  # one after the other, by one of several models


class Pool(Queues):
    """The workers of a server, and the models that all of them hold.

    Who loads or unloads holds ``changing`` from before it looks whether it may: two who look at
    once would both find what only one of them can have.
    """

    def __init__(self, options: Options, opener: Opener, metrics: Metrics, first: First) -> None:
        super().__init__(options, metrics, first)
        self.changing = asyncio.Lock()
        self.coming: dict[str, Served] = {}  # by key: being loaded, not served yet
        self._open = opener
        self.slots = [
            Slot(self, index, options.devices[index % len(options.devices)])
            for index in range(options.workers)
        ]
        self._versions = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._started = False
        self.closing = False

    async def start(self, models: dict[str, Path]) -> None:
        """Start the workers, and load ``models``, folders by name, into each of them.

        Raises what a model that does not load raises.
        """
        async with self.changing:
            self._tasks.append(asyncio.ensure_future(self.sweep()))
            served = [self._opened(name, folder) for name, folder in models.items()]
            self.coming.update((each.key, each) for each in served)
            self._tasks.extend(asyncio.ensure_future(slot.live()) for slot in self.slots)
            for slot in self.slots:
                await slot.first_ready
            for each in served:
                del self.coming[each.key]
                self.models[each.name] = each
                self.metrics.loaded(each.name, each.seconds)
            self._started = True

    def _opened(self, name: str, folder: Path) -> Served:
        artifact, algorithm = self._open(folder)
        engine = engines.resolve(self.options.engine, folder, self.options.devices[0])
        log.info("%s: %s", name, engines.told(engine, folder))
        self._versions += 1
        key = f"{name}@{self._versions}"
        return Served(name, key, folder, algorithm, artifact.metadata, engine)

    async def load(self, name: str, folder: Path) -> None:
        """Serve the model in ``folder`` as ``name``, in place of the one that was; no request
        fails meanwhile. Raises what a model that does not load raises; then all is as it was.
        """
        new = self._opened(name, folder)
        self.coming[new.key] = new
        most_deaths = [slot.all_deaths + DEATHS for slot in self.slots]
        try:
            for slot in self.slots:
                await slot.hold(new)
            while new.fault is None and not any(new.key in s.loaded for s in self.slots):
                if all(s.all_deaths >= most for s, most in zip(self.slots, most_deaths)):
                    raise WorkersDownError(
                        f"each worker died {DEATHS} times meanwhile, at last of: "
                        f"{self.slots[0].last_death}"
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
        self.pump()

    async def unload(self, name: str) -> None:
        """Serve ``name`` no longer. Raises UnknownNameError."""
        if name not in self.models:
            raise UnknownNameError(f"there is no model {name!r}")
        old = self.models.pop(name)
        while old.waiting:
            self.taken(old).reply(unloaded(name))
        await self._forget(old.key)
        self.metrics.unloaded(name)

    async def _forget(self, key: str) -> None:
        for slot in self.slots:
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
        if served.kills >= MAX_KILLS:
            self.give_up(served, f"{served.kills} workers died of it, at last of {how}")
        return True

    def give_up(self, served: Served, why: str) -> None:
        """Serve a model no longer, and say so to all who ask it."""
        served.lost = why
        log.error("%s (%s) is given up: %s", served.name, served.folder, why)
        self._tasks.append(asyncio.ensure_future(self._forget(served.key)))
        while served.waiting:
            self.taken(served).reply(given_up(served.name))

    def holds(self, key: str) -> bool:
        """Whether any worker has loaded the model ``key``."""
        return any(key in slot.loaded for slot in self.slots)

    def is_coming(self, served: Served) -> bool:
        """Whether a model is being loaded into a server that could do without it."""
        return self._started and served.key in self.coming

    def unready(self) -> str:
        """Why no request should be sent here; empty when the server is ready."""
        if self.closing:
            return "the server is shutting down"
        for slot in self.slots:
            if slot.keeps_dying:
                return f"worker {slot.index} keeps dying; the server's log says why"
        if not self._started:
            return "the models are being loaded"
        if not self.up:
            return "no worker is up"
        lost = self.models and all(each.lost for each in self.models.values())
        if lost and self.options.folder is None:
            return "every model has been given up; the server's log says why"
        return ""

    async def close(self) -> None:
        """End the workers."""
        self.closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(slot.close() for slot in self.slots))
        self.ledger.close()
