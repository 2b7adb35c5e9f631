"""Why a model or a worker cannot answer: the errors, and the replies that say so."""

from __future__ import annotations

from ..inference.requests import Reply, fault
from ..runtime.errors import (
    AlgoshelfError,
    ArtifactError,
    InputError,
    MissingDependencyError,
    PluginError,
)


class ServingError(AlgoshelfError):
    """A model cannot be served any more."""

    code = "serving_failed"


class WorkersDownError(ServingError):
    """No worker lives long enough to load a model; it may be none of the model's fault."""

    code = "workers_down"


class WorkerDiedError(ServingError):
    """A worker has died while it carried out an order."""


def given_up(name: str) -> Reply:
    text = f"the model {name!r} ended the processes that computed it; the server's log says more"
    return fault(503, "model_given_up", text)


def unloaded(name: str) -> Reply:
    return fault(404, "no_such_model", f"the model {name!r} was unloaded")


def remade(code: str, text: str) -> AlgoshelfError:
    """The error of a worker, here."""
    known = (ArtifactError, InputError, MissingDependencyError, PluginError)
    return next((kind for kind in known if kind.code == code), ServingError)(text)
