"""A loaded model: what ``model_fn`` returns, and what computes in ``predict_fn``."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any, Callable

from ..runtime.graph import Fit
from ..runtime.types import Array, Context, HybridBlock
from .metadata import Metadata
from .network import GluonNetwork, Network, outputs


@dataclass(frozen=True)
class Model:
    """A loaded artifact: what ``model_fn`` returns and ``predict_fn`` is given.

    ``fit`` is what the network makes of one example. For one thread at a time.
    """

    network: Network
    metadata: Metadata
    fit: Fit

    def outputs(self, x: Array) -> Any:
        """The network's outputs (N, …) for a batch ``x`` (N, …) of any size, in numpy.

        A network with several outputs gives a tuple of arrays, in the order of its graph. Raises
        NetworkError where it cannot compute with such an input.
        """
        return outputs(self.network, x)

    def parameters(self) -> dict[str, Array]:
        """A copy of what was learned, by the names that the artifact has for it."""
        return self.network.parameters()

    def tuned(self, again: Callable[[], Model]) -> Model:
        """The same for a server's many small batches, or itself; ``again`` loads it once more."""
        network = self.network.tuned(lambda: again().network, self.metadata.input, self.fit)
        return self if network is self.network else replace(self, network=network)

    @property
    def block(self) -> HybridBlock:
        """Deprecated: the Gluon block; ``outputs`` and ``parameters`` say what it would."""
        return self._gluon("block").block

    @property
    def device(self) -> Context:
        """Deprecated: the device of ``block``."""
        return self._gluon("device").device

    def _gluon(self, name: str) -> GluonNetwork:
        warnings.warn(
            f"Model.{name} will go with the next release: call model.outputs(x) to compute, and "
            "model.parameters() for what was learned",
            DeprecationWarning,
            stacklevel=3,
        )
        if not isinstance(self.network, GluonNetwork):
            raise AttributeError(
                f"the model is not computed by Gluon, so it has no {name}: call model.outputs(x)"
            )
        return self.network
