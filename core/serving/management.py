"""The models of a server over HTTP, as in SageMaker's multi-model API: listed, loaded, unloaded."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any, Mapping, Sequence
from urllib.parse import unquote, urlsplit

from .. import payload
from ..inference.requests import Reply
from ..runtime.errors import AlgoshelfError, ArtifactError, InputError
from . import admission, sizing
from .bodies import Bodies
from .failures import WorkersDownError
from .pool import Pool
from .refusals import NO_MODEL, Receive, Refusal, Scope, check_method, header, json_reply
from .served import Served

log = logging.getLogger(__name__)

MAX_ORDER_BYTES = 2**16
MAX_NAMED = 20  # of the models that an error names


class Management:
    """What is asked under ``/models``, but for requests to a model."""

    def __init__(self, pool: Pool, bodies: Bodies) -> None:
        self.pool = pool
        self.options = pool.options
        self._bodies = bodies
        # By name, the models of the folder that could not be loaded: as they were, and why.
        self._broken: dict[str, tuple[Any, str]] = {}

    def model(self, name: str) -> Served:
        """The model that is served as ``name``. Raises Refusal."""
        if name not in self.pool.models:
            self.check_ready()
            known = sorted(self.pool.models)
            served = ", ".join(known[:MAX_NAMED]) + ", …" * (len(known) > MAX_NAMED)
            told = f"there is no model {name[:200]!r}; served: {served or 'none'}"
            raise Refusal(404, "no_such_model", told)
        return self.pool.models[name]

    async def asked(self, name: str) -> Served:
        """As ``model``, loaded from ``options.folder`` where it is there and is not loaded yet."""
        folder = self.options.folder
        served = self.pool.models.get(name)
        is_there = served is not None and not served.leaving
        if folder is None or is_there or not _is_in(folder, name):
            return self.model(name)
        self.check_ready()
        until = time.monotonic() + self.options.timeout
        async with self.pool.changing:
            if name not in self.pool.models:  # another request may have loaded it meanwhile
                if time.monotonic() > until:
                    raise Refusal(503, "overloaded", f"too many models wait to be loaded: {name}")
                await self._load_for(name, folder)
            return self.model(name)

    async def _load_for(self, name: str, folder: Path) -> None:
        """Load a model that is asked, in place of those that were not for the longest time."""
        found = folder / name
        stamp: list[tuple[str, int, int]] = []
        try:
            found = admission.confined(Path(name), (folder,))
            stamp = _stamp(found)
            known, why = self._broken.get(name, (None, ""))
            if known == stamp:
                raise InputError(why)
            leaving, is_short = self._leaving(name, found)
            await self._replace(leaving, name, found, at_once=is_short)
        except WorkersDownError as error:
            raise Refusal(503, error.code, f"{name} is not loaded: {error}") from None
        except AlgoshelfError as error:
            reason = str(error).replace(str(found), name).replace("--model-root", "--models")
            if self._broken.get(name) != (stamp, reason):
                log.error("%s is not loaded: %s", name, error)
            self._broken[name] = (stamp, reason)
            raise Refusal(422, "broken_model", f"{name} cannot be loaded: {reason}") from None
        self._broken.pop(name, None)

    async def _replace(
        self, leaving: Sequence[Served], name: str, folder: Path, *, at_once: bool
    ) -> None:
        """Load a model in place of those ``leaving``: after they are gone, or before, so that one
        that does not load costs no other its place. Who asks for them meanwhile waits.
        """
        for each in leaving:
            each.leaving = True
        try:
            if not at_once:
                await self.pool.load(name, folder)
            for each in leaving:
                log.info("%s makes room for %s", each.name, name)
                await self.pool.unload(each.name)
            if at_once:
                await self.pool.load(name, folder)
        finally:
            for each in leaving:
                each.leaving = False

    def _leaving(self, name: str, folder: Path) -> tuple[list[Served], bool]:
        """The models that leave so that the one in ``folder`` can be loaded, and whether memory is
        short until they do. Raises Refusal where they are not enough.
        """
        loaded = [each for each in self.pool.models.values() if not each.lost]
        idle = [each for each in loaded if not (each.asking or each.waiting)]
        free, lacking = sizing.free_bytes(), _bytes(folder) * self.options.workers
        lacking -= lacking if free is None else free
        is_short = lacking > 0
        leaving: list[Served] = []
        for each in sorted(idle, key=lambda each: each.asked):
            if lacking <= 0 and len(loaded) - len(leaving) < self.options.max_models:
                break
            leaving.append(each)
            lacking -= _bytes(each.folder) * self.options.workers
        if lacking > 0:
            raise Refusal(507, "out_of_memory", f"there is no memory left for {name}")
        if len(loaded) - len(leaving) >= self.options.max_models:
            most = f"{self.options.max_models} models are loaded, and all of them are asked"
            raise Refusal(503, "overloaded", f"{most}: send it again later")
        return leaving, is_short

    def check_ready(self) -> None:
        """Raises Refusal where no request should be sent here."""
        reason = self.pool.unready()
        if reason:
            raise Refusal(503, "not_ready", reason)

    async def models(self, scope: Scope, receive: Receive) -> Reply:
        """``/models``: all that are served, or one more of them."""
        if check_method(scope, "GET", "POST") == "GET":
            return json_reply({"models": [described(each) for each in self.pool.models.values()]})
        self._check_manages()
        order = await self._order(scope, receive)
        name = order.get("model_name")
        if not isinstance(name, str) or not sizing.MODEL_NAME.fullmatch(name):
            raise Refusal(422, "unfit_payload", f"model_name: expected {sizing.MODEL_NAME.pattern}")
        async with self.pool.changing:
            if name in self.pool.models:
                raise Refusal(
                    409, "already_loaded", f"{name} is loaded: PUT /models/{name} replaces it"
                )
            return await self._load(name, order)

    async def one_model(self, name: str, scope: Scope, receive: Receive) -> Reply:
        """``/models/NAME``: described, replaced or unloaded."""
        method = check_method(scope, "GET", "PUT", "DELETE")
        if method == "GET":
            return json_reply(described(self.model(name)))
        self._check_manages()
        self.model(name)
        order = await self._order(scope, receive) if method == "PUT" else {}
        async with self.pool.changing:
            self.model(name)  # another request may have unloaded it meanwhile
            if method == "PUT":
                return await self._load(name, order)
            await self.pool.unload(name)
            return json_reply({"unloaded": name})

    async def _load(self, name: str, order: Mapping[str, Any]) -> Reply:
        folder = self._folder(order.get("url"))
        if not sizing.fits(folder, self.options.workers):
            raise Refusal(507, "out_of_memory", f"there is no memory left for {name}")
        try:
            await self.pool.load(name, folder)
        except AlgoshelfError as error:
            log.error("%s is not loaded: %s", name, error)
            status = 503 if isinstance(error, WorkersDownError) else 422
            raise Refusal(
                status, error.code, f"{name} cannot be loaded; the server's log says why"
            ) from None
        return json_reply({"loaded": name})

    def _folder(self, url: Any) -> Path:
        """The folder that a path or a file: URL names, where models may be loaded from."""
        try:
            path = unquote(urlsplit(url).path) if url.startswith("file:") else url
            if b"\0" in os.fsencode(path):
                raise ValueError("a path cannot contain NUL")
        except (ValueError, AttributeError):  # no URL, no text, or none that the file system takes
            raise Refusal(
                422, "unfit_payload", "url: expected the path of a model folder"
            ) from None
        try:
            return admission.confined(Path(path), self.options.roots)
        except InputError as error:
            raise Refusal(422, "unfit_payload", f"url: {error}") from None

    def _check_manages(self) -> None:
        if not self.options.manages:
            raise Refusal(
                403,
                "not_managed",
                "models cannot be changed here: serve with --multi-model to change them",
            )

    async def _order(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        """The JSON object that a request to load a model holds."""
        if payload.media_type(header(scope, b"content-type")) != payload.JSON:
            # which also keeps a page in a browser from sending it without asking
            raise Refusal(415, "unsupported_content_type", f"expected {payload.JSON}")
        body = await self._bodies.read(scope, receive, MAX_ORDER_BYTES, NO_MODEL)
        self.pool.release(NO_MODEL, len(body))
        try:
            order = json.loads(body)
        except (ValueError, RecursionError):
            raise Refusal(400, "malformed_payload", "the body is not JSON") from None
        if not isinstance(order, dict):
            raise Refusal(422, "unfit_payload", "expected a JSON object")
        return order


def _is_in(folder: Path, name: str) -> bool:
    """Whether ``folder`` holds a model called ``name``, which says no other place."""
    return bool(sizing.MODEL_NAME.fullmatch(name)) and (folder / name).is_dir()


def _bytes(folder: Path) -> int:
    """As ``sizing.model_bytes``; 0 where whoever opens it says what is wrong."""
    try:
        return sizing.model_bytes(folder)
    except ArtifactError:
        return 0


def _stamp(folder: Path) -> list[tuple[str, int, int]]:
    """What changes with the files of a model."""
    try:
        found = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from None
    return [(name, status.st_mtime_ns, status.st_size) for name, status in found]


def described(served: Served) -> dict[str, Any]:
    """What ``/models`` says of a model."""
    return {
        "modelName": served.name,
        "algorithm": served.metadata.algorithm,
        "version": served.key.rpartition("@")[2],
        "accepts": list(served.algorithm.accepted_media_types()),
        "answers": list(served.algorithm.response_media_types()),
        "engine": served.engine,
        "classes": list(served.metadata.classes),
        "state": "given up" if served.lost else "serving",
    }
