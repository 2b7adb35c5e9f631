"""algoshelf's own four handlers as an entry point: decoding and encoding as in its own server."""

from pathlib import Path

from algoshelf.core.inference.handlers import Handlers
from algoshelf.registry.discovery import opened


def model_fn(model_dir):
    _, algorithm = opened(Path(model_dir))
    return Handlers.load(algorithm, model_dir)


def transform_fn(handlers, body, content_type, accept):
    raw = body.encode() if isinstance(body, str) else bytes(body)
    return handlers.invoke(raw, content_type, accept), accept
