"""GluonCV, of whose blocks some networks are made."""

from __future__ import annotations

from ...core import MissingDependencyError, mx


def need_gluoncv(network: str) -> None:
    """Raises MissingDependencyError where GluonCV, of which ``network`` is made, cannot be had."""
    mx.load()
    try:
        import gluoncv  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "gluoncv":
            raise
        raise MissingDependencyError(
            f"--network {network} needs GluonCV, which is not installed: "
            "pip install 'algoshelf[vision]'"
        ) from None
    except RuntimeError as error:  # beside torch 2
        raise MissingDependencyError(f"GluonCV does not import: {error}") from None
