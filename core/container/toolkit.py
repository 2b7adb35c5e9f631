"""Serving under AWS's MXNet toolkit, which calls ``model_fn`` and ``transform_fn`` of a module.

Source: sagemaker-inference 1.10.1, sagemaker-mxnet-inference 1.5.5. The toolkit takes either
``transform_fn`` or ``input_fn``, ``predict_fn`` and ``output_fn``, and refuses a module with both.
Only the former may return a model that is no Block, and choose the status of its answer.
"""

from __future__ import annotations

import os
from http import HTTPStatus
from pathlib import Path
from typing import Any

from ..algorithm.base import Algorithm
from ..artifact import engines
from ..artifact.model import Model
from ..inference.handlers import Handlers
from ..inference.requests import Request, answer
from ..runtime.errors import InputError


def load(algorithm: Algorithm[Any], model_dir: str, context: Any = None) -> Model:
    """The model in ``model_dir``, on a GPU where there is one, by the engine that the environment
    names; raises ArtifactError.

    The model server's ``context`` says which of several GPUs is this worker's; an old toolkit
    gives none, and the first is taken.
    """
    devices = engines.places(os.environ.get(engines.VARIABLE, engines.AUTO), Path(model_dir))
    number = context.system_properties.get("gpu_id") if context is not None else None
    return algorithm.model_fn(model_dir, devices[max(number or 0, 0) % len(devices)])


def transform(
    algorithm: Algorithm[Any],
    model: Model,
    body: str | bytes | None,
    content_type: str | None,
    accept: str | None,
    context: Any = None,
) -> tuple[bytes, str]:
    """The answer and its content type; a fault of the request has its own HTTP status.

    ``context`` is the model server's. An old toolkit gives none, and makes a 500 of the InputError
    that is then raised.
    """
    raw = body.encode() if isinstance(body, str) else bytes(body or b"")
    [reply] = answer(Handlers(algorithm, model), [Request(raw, content_type or "", accept or "")])
    if reply.status != HTTPStatus.OK:
        if context is None:
            raise InputError(reply.body.decode())
        context.set_response_status(code=reply.status, phrase=HTTPStatus(reply.status).phrase)
    return reply.body, reply.content_type
