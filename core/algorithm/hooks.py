"""The plugin interface: the entry-point group, and the hooks by which plugins add algorithms.

A plugin is a module named in its distribution's entry points of the group ``algoshelf``:

    [project.entry-points.algoshelf]
    my-plugin = "my_plugin"
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, Mapping

import pluggy

if TYPE_CHECKING:
    from ..training.reporting import Reporter
    from ..weights import PretrainedWeights
    from .base import Algorithm

GROUP = "algoshelf"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def algoshelf_algorithms() -> Iterable[type[Algorithm[Any]]]:  # type: ignore[empty-body]
    """The algorithm classes that this plugin adds to the catalog.

    Called once, when the catalog is read: import no mxnet here or at the top of the module.
    """


@hookspec
def algoshelf_weights() -> Iterable[PretrainedWeights]:  # type: ignore[empty-body]
    """The pretrained weights that this plugin adds to those that can be had by name.

    Called once, when the catalog is read: import no mxnet here or at the top of the module.
    """


@hookspec
def algoshelf_reporter(
    algorithm: str, hyperparameters: Mapping[str, Any], output: Path
) -> Reporter | None:
    """A listener to the metrics of the training that is about to begin; None to stay out of it.

    ``algorithm`` is the name, ``output`` the model folder to be. A listener that raises is told
    and dropped; the training goes on.
    """
