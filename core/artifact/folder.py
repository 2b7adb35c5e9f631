"""The artifact: a folder that becomes ``model.tar.gz``, the same bytes for the same training.

model-symbol.json    the network's graph       (the names that AWS's MXNet toolkit uses)
model-0000.params    its parameters
algorithm.json       what made it, and how to ask it: see Metadata
model.onnx           the network and its parameters for ONNX Runtime, after ``algoshelf export``
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterable, Iterator, Mapping

from pydantic import ValidationError

from ..pages import notebook
from ..runtime import graph as graphs
from ..runtime import mx, params
from ..runtime.errors import ArtifactError, OutputError
from ..runtime.graph import Fit, Graph
from ..runtime.params import Parameters
from ..runtime.printable import figure
from ..runtime.staging import digest_of, sync
from ..runtime.types import Array, Context, HybridBlock
from . import engines, onnx_file
from .metadata import (
    LAYOUT_VERSION,
    MAX_FAULTS,
    MAX_METADATA_BYTES,
    METADATA,
    ONNX,
    PARAMETERS,
    SYMBOL,
    Metadata,
    excess_of,
)
from .model import Model
from .network import GluonNetwork, OnnxNetwork

# What the names of those arrays begin with that are no parameters of the network.
KEPT = "kept:"


@dataclass(frozen=True)
class Examined:
    """An artifact whose files fit together: ``fit`` is what its network makes of one example.

    ``kept`` are the arrays that stand beside the ``parameters`` of the network, by name.
    """

    graph: Graph
    fit: Fit
    parameters: Parameters
    kept: Mapping[str, Array]


# What else an artifact has to be, of which it returns what is wrong, a sentence each.
Faults = Callable[[Examined], Iterable[str]]


@dataclass(frozen=True)
class Artifact:
    """An artifact on disk, its metadata read and checked; mxnet is not needed until ``load``."""

    folder: Path
    metadata: Metadata = field(repr=False)

    @classmethod
    def open(cls, folder: Path) -> Artifact:
        """The artifact in ``folder``. Raises ArtifactError, naming the file, if it is none."""
        path = folder / METADATA
        try:
            if not folder.exists():
                raise ArtifactError(f"{folder}: no such model folder")
            found = path.is_file()
        except OSError as error:
            raise ArtifactError(f"{folder}: cannot be read: {error.strerror}") from None
        if not found:
            raise ArtifactError(
                f"{folder}: not a model folder: it holds no {METADATA}. "
                "Give the folder that `algoshelf train` wrote"
            )
        try:
            metadata = Metadata.model_validate_json(_document(path))
        except ValidationError as error:
            raise ArtifactError(
                *(
                    f"{path}: {'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}"
                    for fault in error.errors()[:MAX_FAULTS]
                )
            ) from None
        except OSError as error:
            raise ArtifactError(f"{path}: {error.strerror}") from None
        if metadata.layout_version > LAYOUT_VERSION:
            raise ArtifactError(
                f"{path}: layout version {metadata.layout_version}, but this algoshelf reads up to "
                f"{LAYOUT_VERSION}: upgrade algoshelf"
            )
        missing = [name for name in (SYMBOL, PARAMETERS) if not (folder / name).is_file()]
        if missing:
            raise ArtifactError(*(f"{folder / name}: missing" for name in missing))
        return cls(folder, metadata)

    def load(self, device: Context | str | None = None, faults: Faults = lambda found: ()) -> Model:
        """The network, ready to predict: on ``device``, a context of mxnet's, or by one of ENGINES
        on the processor, by default ``auto``.

        Raises ArtifactError where a file is damaged, or ``faults`` finds any, and as
        ``engines.resolve`` does.
        """
        if device is None or isinstance(device, str):
            device = engines.resolve(device or engines.AUTO, self.folder)
        if device == engines.ONNX:
            return self._load_onnx(faults)
        return self._load_gluon(mx.cpu() if device == engines.MXNET else device, faults)

    def _load_gluon(self, device: Context, faults: Faults) -> Model:
        found = self.check(faults, numbers=True)
        try:
            network = GluonNetwork.load(
                found.graph.text(found.fit), self.metadata.input, found.parameters.arrays, device
            )
        except Exception as error:  # mxnet raises many kinds
            raise ArtifactError(
                f"{self.folder}: the network does not load: {_last_line(error)}"
            ) from error
        return Model(network, self.metadata, found.fit)

    def _load_onnx(self, faults: Faults) -> Model:
        fit = self.check(faults).fit
        path = self.folder / ONNX
        content = onnx_file.read(path, self.metadata.input, fit).content
        try:
            network = OnnxNetwork.load(content, self.metadata, fit, self._learned)
        except ArtifactError as error:
            raise _unloadable(path, *error.faults) from error
        return Model(network, self.metadata, fit)

    def _repr_html_(self) -> str:
        """What a notebook shows: what made the model, how well it did, and its files."""
        found = self.metadata
        of = f"{found.algorithm} {found.algorithm_version}"
        facts = [
            ("algorithm", f"{of} ({found.distribution})" if found.distribution else of),
            ("folder", str(self.folder)),
            ("input", f"{found.input.name} {found.input.shape} {found.input.dtype}"),
            ("seed", f"{found.seed}"),
        ]
        if found.epoch is not None:
            facts.append(("epoch", f"{found.epoch}"))
        facts += [(name, figure(value)) for name, value in found.metrics.items()]
        files = [
            (name, f"{(self.folder / name).stat().st_size:,} bytes")
            for name in (SYMBOL, PARAMETERS, METADATA, ONNX)
            if (self.folder / name).is_file()
        ]
        given = [(name, str(value)) for name, value in found.hyperparameters.items()]
        return notebook.shown(
            [
                notebook.rows(("model", ""), facts),
                notebook.folded("hyperparameters", notebook.rows(("", ""), given, len(given))),
                notebook.folded("files", notebook.rows(("", ""), files)),
            ]
        )

    def _learned(self) -> dict[str, Array]:
        """The arrays of the parameters' file, by the names that the network has for them."""
        arrays = self.check(numbers=True).parameters.arrays
        return {params.plain(name): values for name, values in arrays.items()}

    def kept(self) -> Mapping[str, Array]:
        """The arrays that the training kept beside the network's parameters, by name.

        Raises ArtifactError.
        """
        return self.check(numbers=True).kept

    def check(self, faults: Faults = lambda found: (), *, numbers: bool = False) -> Examined:
        """What the files hold, without the parameters' ``numbers`` or with them.

        Each is read once, and held against the others, before mxnet or memory meets it.
        Raises ArtifactError where a file is not the one that was written, is not to be loaded, or
        does not fit the others, or ``faults`` finds any.
        """
        symbol, parameters = self.folder / SYMBOL, self.folder / PARAMETERS
        try:
            content = _limited(symbol, graphs.MAX_BYTES)
            self._check_digest(SYMBOL, hashlib.sha256(content).hexdigest())
            graph = graphs.read(content)
        except graphs.GraphError as error:
            raise _unloadable(symbol, *error.faults) from None
        except OSError as error:
            raise _unloadable(symbol, error.strerror or str(error)) from None
        try:
            found = params.read(parameters, numbers=numbers)
        except params.ParamsError as error:
            raise _unloadable(parameters, str(error)) from None
        except OSError as error:
            raise _unloadable(parameters, error.strerror or str(error)) from None
        self._check_digest(PARAMETERS, found.digest)
        found, kept = _parted(found)
        examined = Examined(graph, self._fitted(graph, found), found, kept)
        wrong = [*self._disagreements(examined.fit)]
        wrong += [f"{self.folder}: does not load: {fault}" for fault in faults(examined)]
        if wrong:
            raise ArtifactError(*wrong)
        return examined

    def _fitted(self, graph: Graph, found: Parameters) -> Fit:
        signature = self.metadata.input
        known = {params.plain(name): header for name, header in found.headers.items()}
        try:
            return graph.fit({signature.name: (signature.one, signature.dtype)}, known)
        except graphs.GraphError as error:
            raise ArtifactError(
                *(
                    f"{self.folder / SYMBOL}: does not load: {fault}; the input is "
                    f"{signature.name!r} {signature.shape} in {METADATA}, the parameters are those "
                    f"of {PARAMETERS}"
                    for fault in error.faults
                )
            ) from None

    def _disagreements(self, fit: Fit) -> Iterator[str]:
        """What is to be looked up or computed has to be what the network was made for."""
        vocabulary = self.metadata.encoding.get("vocabulary")
        if not isinstance(vocabulary, list):
            return
        for rows in dict.fromkeys(fit.vocabularies):
            if rows != len(vocabulary):
                yield (
                    f"{self.folder / METADATA}: encoding: vocabulary: has {len(vocabulary):,} "
                    f"tokens, but the network knows {rows:,}: the files are of different models"
                )

    def _check_digest(self, name: str, digest: str) -> None:
        if self.metadata.sha256.get(name, digest) != digest:  # type: ignore[call-overload]
            raise ArtifactError(
                f"{self.folder / name}: does not load: it is not the file that {METADATA} "
                "describes; it is damaged, or of another model"
            )


def _parted(found: Parameters) -> tuple[Parameters, dict[str, Array]]:
    """The parameters of the network, and the arrays that are none."""
    kept = {name[len(KEPT) :]: a for name, a in found.arrays.items() if name.startswith(KEPT)}
    arrays = {name: a for name, a in found.arrays.items() if not name.startswith(KEPT)}
    headers = {name: h for name, h in found.headers.items() if not name.startswith(KEPT)}
    return Parameters(headers, arrays, found.digest), kept


def _unloadable(path: Path, *faults: str) -> ArtifactError:
    return ArtifactError(*(f"{path}: does not load: {fault}" for fault in faults))


def _limited(path: Path, most: int) -> bytes:
    """What a file holds, or a byte more than ``most`` of it."""
    with path.open("rb") as stream:
        return stream.read(most + 1)


def _document(path: Path) -> bytes:
    """The metadata, of which reading will not take much memory. Raises ArtifactError, OSError."""
    content = _limited(path, MAX_METADATA_BYTES)
    if len(content) > MAX_METADATA_BYTES:
        raise ArtifactError(f"{path}: larger than {MAX_METADATA_BYTES:,} bytes")
    excess = excess_of(content)
    if excess:
        raise ArtifactError(f"{path}: {excess}")
    return content


def write(
    folder: Path, block: HybridBlock, metadata: Metadata, kept: Mapping[str, Array] | None = None
) -> None:
    """Write the artifact of a hybridized ``block`` that has run at least once into ``folder``.

    ``kept`` are arrays that are to be there beside its parameters. Raises OutputError where the
    disk does not take it.
    """
    try:
        block.export(str(folder / "model"), epoch=0)
        _check_written(folder / PARAMETERS, block)
        if kept:
            arrays = params.read(folder / PARAMETERS).arrays
            arrays.update((KEPT + name, array) for name, array in kept.items())
            params.write(folder / PARAMETERS, arrays)
        complete(folder, metadata)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}") from None
    except mx.base.MXNetError as error:
        raise OutputError(f"{folder}: cannot be written: {_last_line(error)}") from None


def complete(folder: Path, metadata: Metadata) -> None:
    """Write ``metadata`` beside the graph and the parameters, with their digests; all are synced.

    Raises OSError.
    """
    digests = {name: digest_of(folder / name) for name in (SYMBOL, PARAMETERS)}
    document = metadata.model_copy(update={"sha256": digests}).document()
    (folder / METADATA).write_bytes(document)
    for name in (SYMBOL, PARAMETERS, METADATA):
        sync(folder / name)


def _check_written(path: Path, block: HybridBlock) -> None:
    """mxnet does not notice a disk that is full when it closes a file: read it back."""
    try:
        headers = params.read(path, numbers=False).headers
    except params.ParamsError as error:
        raise OutputError(f"{path}: cannot be written: it {error}") from None
    saved = {params.plain(name): shape for name, (shape, _) in headers.items()}
    for name, parameter in block.collect_params().items():
        if saved.get(name) != parameter.shape:
            raise OutputError(f"{path}: was not written whole: is the disk full?")


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
