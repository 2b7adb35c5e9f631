"""The artifact: a folder that becomes ``model.tar.gz``, the same bytes for the same training.

model-symbol.json    the network's graph       (the names that AWS's MXNet toolkit uses)
model-0000.params    its parameters
algorithm.json       what made it, and how to ask it: see Metadata
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import signal
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, Mapping, Optional, Tuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from typing_extensions import Literal

from . import mx
from .data.reading import Headings
from .errors import ArtifactError, OutputError
from .runtime import graph as graphs
from .runtime import params, staging
from .runtime.graph import Fit, Graph
from .runtime.params import Parameters
from .types import Context, HybridBlock

METADATA = "algorithm.json"
SYMBOL = "model-symbol.json"
PARAMETERS = "model-0000.params"
LAYOUT_VERSION = 1
MOST_METADATA_BYTES = 64 * 2**20  # a vocabulary may be long
MOST_FAULTS = 10
# Reading them takes up to 60 bytes each.
MOST_VALUES, MOST_CONTAINERS = 5_000_000, 100_000
RAGGED_LENGTH = 32  # for which a network is looked at whose examples differ in length


class Example(BaseModel):
    """A request that the model can answer: a server warms up and proves itself by it."""

    content_type: str
    body: str


class InputSignature(BaseModel):
    """The network's input; 0 stands for a dimension that varies: the first, which is the batch,
    and the second where examples differ in length.
    """

    name: str = Field(default="data", min_length=1, max_length=200)
    shape: Tuple[int, ...] = Field(min_length=1, max_length=8)
    # of numpy's, what mxnet.nd.from_numpy takes: no int8
    dtype: Literal["float32", "float16", "int32", "int64", "uint8"] = "float32"

    @field_validator("shape")
    @classmethod
    def _check_shape(cls, shape: Tuple[int, ...]) -> Tuple[int, ...]:
        if shape[0] != 0 or not all(0 <= size < 2**31 for size in shape):
            raise ValueError("expected sizes, the first of them 0, which is the batch")
        if 0 in shape[2:]:
            raise ValueError("only the first and the second size may be 0, for one that varies")
        return shape

    @property
    def one(self) -> Tuple[int, ...]:
        """The shape of a batch of one example, of RAGGED_LENGTH where examples differ in length."""
        return (1, *(size or RAGGED_LENGTH for size in self.shape[1:]))

    @property
    def is_ragged(self) -> bool:
        """Whether examples differ in length: a batch is then padded to its longest."""
        return 0 in self.shape[1:]


class Metadata(BaseModel):
    """``algorithm.json``. Nothing in it depends on when or where the training ran."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    layout_version: int = Field(default=LAYOUT_VERSION, ge=1)
    algorithm: str = Field(max_length=200)
    algorithm_version: str = Field(max_length=200)
    distribution: str = Field(
        default="", description="what the algorithm was installed by, with version"
    )
    hyperparameters: Dict[str, Any]
    seed: int
    input: InputSignature
    example: Example
    encoding: Dict[str, Any] = Field(
        default_factory=dict, description="how training numbered what it found: classes, vocabulary"
    )
    metrics: Dict[str, float] = Field(default_factory=dict)
    epoch: Optional[int] = Field(
        default=None, ge=0, description="after which the parameters stood as they are here"
    )
    data: Dict[str, str] = Field(
        default_factory=dict, description="channel to the SHA-256 of the examples read from it"
    )
    examples: Dict[str, Dict[str, int]] = Field(
        default_factory=dict,
        description="channel to how many examples it had, and how many files were left out of it, "
        "pictures inverted, and the like",
    )
    headings: Optional[Headings] = Field(
        default=None,
        description="of the columns of the tables that were read, by which later ones"
        " are taken; none where they had no headings",
    )
    packages: Dict[str, str] = Field(default_factory=dict)
    sha256: Dict[Literal["model-symbol.json", "model-0000.params"], str] = Field(
        default_factory=dict
    )

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, encoding: Dict[str, Any]) -> Dict[str, Any]:
        faults = class_faults(encoding)
        if faults:
            raise ValueError("; ".join(f"classes: {fault}" for fault in faults[:MOST_FAULTS]))
        return encoding

    def document(self) -> bytes:
        """What ``algorithm.json`` holds. Raises ValueError, which says what it could not hold."""
        faults = [f"{path}: {what}" for path, what in _no_json(self.model_dump())]
        if faults:
            raise ValueError("; ".join(faults[:MOST_FAULTS]))
        document = self.model_dump(mode="json")
        text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        content = text.encode() + b"\n"
        if len(content) > MOST_METADATA_BYTES:
            raise ValueError(
                f"encoding: {METADATA} would have {len(content):,} bytes, expected at most "
                f"{MOST_METADATA_BYTES:,}: fewer classes, or a smaller vocabulary"
            )
        return content

    @property
    def classes(self) -> Tuple[str, ...]:
        """The names of the classes, in the order of the network's outputs; empty without any."""
        return tuple(self.encoding.get("classes", ()))


# What moves the cursor, ends a line or turns the direction of writing, and half characters.
# Unassigned ones are none of them: what is new to one Python is known to the next.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def class_faults(encoding: Mapping[str, Any]) -> list[str]:
    """What is wrong with the names of the classes in ``encoding``, a sentence a fault."""
    names = encoding.get("classes", [])
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        return ["expected a list of names"]
    faults = [f"the name {name!a} stands twice" for name, n in Counter(names).items() if n > 1]
    return faults + [fault for fault in map(name_fault, dict.fromkeys(names)) if fault]


def name_fault(name: str) -> str:
    """Why a class cannot be called ``name``, or an empty string."""
    found = _HARMFUL.search(name)
    if found is None:
        return ""
    if "\ud800" <= found[0] <= "\udfff":
        return f"the name {_as_bytes(name)} is not UTF-8: rename it"
    return f"the name {name!a} holds the control character U+{ord(found[0]):04X}: rename it"


def _as_bytes(name: str) -> str:
    """A name as the file system has it, where Python could not read it as text."""
    try:
        return repr(os.fsencode(name))[1:]
    except UnicodeEncodeError:  # of no file system
        return ascii(name)


def _no_json(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Where in ``value`` stands what JSON cannot hold, and what is wrong with it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _no_json(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for place, inner in enumerate(value):
            yield from _no_json(inner, f"{path}[{place}]")
    elif isinstance(value, str):
        if not value.isascii() and re.search("[\ud800-\udfff]", value):
            yield path, f"{value[:80]!a} is not UTF-8"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield path, f"expected a finite number, got {value}"
    elif not (value is None or isinstance(value, (bool, int))):
        yield path, f"expected a type of JSON, got {type(value).__name__}"


@dataclass(frozen=True)
class Model:
    """A loaded artifact: what ``model_fn`` returns and ``predict_fn`` is given.

    ``fit`` is what the network makes of one example. For one thread at a time: mxnet gives wrong
    answers where threads share a static graph.
    """

    block: HybridBlock
    metadata: Metadata
    device: Context
    fit: Fit


@dataclass(frozen=True)
class Examined:
    """An artifact whose files fit together: ``fit`` is what its network makes of one example."""

    graph: Graph
    fit: Fit
    parameters: Parameters


# What else an artifact has to be, of which it returns what is wrong, a sentence each.
Faults = Callable[[Examined], Iterable[str]]


@dataclass(frozen=True)
class Artifact:
    """An artifact on disk, its metadata read and checked; mxnet is not needed until ``load``."""

    folder: Path
    metadata: Metadata

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
                    for fault in error.errors()[:MOST_FAULTS]
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

    def load(self, device: Optional[Context] = None, faults: Faults = lambda found: ()) -> Model:
        """The network on ``device`` (the CPU by default), ready to predict.

        Raises ArtifactError where the graph or the parameters are damaged, or ``faults`` finds any.
        """
        found = self._examined(faults, numbers=True)
        device = device or mx.cpu()
        try:
            block = self._block(found, device)
        except Exception as error:  # mxnet raises many kinds
            raise ArtifactError(
                f"{self.folder}: the network does not load: {_last_line(error)}"
            ) from error
        block.hybridize(static_alloc=True, static_shape=not self.metadata.input.is_ragged)
        return Model(block, self.metadata, device, found.fit)

    def _block(self, found: Examined, device: Context) -> HybridBlock:
        """The network as mxnet has it; each array of numbers is let go once it is copied."""
        arrays = found.parameters.arrays
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of input types, which the parameters decide
            symbol = mx.sym.load_json(found.graph.text(found.fit))
            block = mx.gluon.SymbolBlock(symbol, [mx.sym.var(self.metadata.input.name)])
            parameters = block.collect_params()
            for name in list(arrays):
                parameters[params.plain(name)]._load_init(
                    params.to_mxnet(arrays.pop(name)), device, cast_dtype=True, dtype_source="saved"
                )
        return block

    def check(self, faults: Faults = lambda found: ()) -> Examined:
        """What the files hold, without the parameters' numbers; mxnet is not needed.

        Raises ArtifactError where a file is not the one that was written, is not to be loaded, or
        does not fit the others, or ``faults`` finds any.
        """
        return self._examined(faults, numbers=False)

    def _examined(self, faults: Faults, *, numbers: bool) -> Examined:
        """All files read once, and held against one another, before mxnet or memory meets them."""
        symbol, parameters = self.folder / SYMBOL, self.folder / PARAMETERS
        try:
            content = _limited(symbol, graphs.MOST_BYTES)
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
        examined = Examined(graph, self._fitted(graph, found), found)
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


def _unloadable(path: Path, *faults: str) -> ArtifactError:
    return ArtifactError(*(f"{path}: does not load: {fault}" for fault in faults))


def _limited(path: Path, most: int) -> bytes:
    """What a file holds, or a byte more than ``most`` of it."""
    with path.open("rb") as stream:
        return stream.read(most + 1)


def _document(path: Path) -> bytes:
    """The metadata, of which reading will not take much memory. Raises ArtifactError, OSError."""
    content = _limited(path, MOST_METADATA_BYTES)
    if len(content) > MOST_METADATA_BYTES:
        raise ArtifactError(f"{path}: larger than {MOST_METADATA_BYTES:,} bytes")
    values = content.count(b",")
    containers = content.count(b"[") + content.count(b"{")
    if values > MOST_VALUES or containers > MOST_CONTAINERS:
        raise ArtifactError(
            f"{path}: holds {values:,} values in {containers:,} lists and objects, more than "
            f"{MOST_VALUES:,} in {MOST_CONTAINERS:,}"
        )
    return content


def write(folder: Path, block: HybridBlock, metadata: Metadata) -> None:
    """Write the artifact of a hybridized ``block`` that has run at least once into ``folder``.

    Raises OutputError where the disk does not take it.
    """
    try:
        block.export(str(folder / "model"), epoch=0)
        _check_written(folder / PARAMETERS, block)
        digests = {name: digest_of(folder / name) for name in (SYMBOL, PARAMETERS)}
        document = metadata.model_copy(update={"sha256": digests}).document()
        (folder / METADATA).write_bytes(document)
        for name in (SYMBOL, PARAMETERS, METADATA):
            sync(folder / name)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}") from None
    except mx.base.MXNetError as error:
        raise OutputError(f"{folder}: cannot be written: {_last_line(error)}") from None


def _check_written(path: Path, block: HybridBlock) -> None:
    """mxnet does not notice a disk that is full when it closes a file: read it back."""
    saved = {name.split(":", 1)[-1]: array for name, array in mx.nd.load(str(path)).items()}
    for name, parameter in block.collect_params().items():
        if name not in saved or saved[name].shape != parameter.shape:
            raise OutputError(f"{path}: was not written whole: is the disk full?")


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sync(path: Path) -> None:
    """Have the disk hold what was written, before anything relies on it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A folder whose files take their place in ``target`` on success, and vanish on any error.

    An earlier artifact at ``target`` is replaced; a folder that holds anything else is refused.
    Raises OutputError at once where ``target`` cannot be written, so that no training is lost.
    Several processes may do this at a time: each has a stage of its own, and the last one to end
    stays.
    """
    target = target.resolve()  # through links, to where the files are to lie
    created: list[Path] = []
    with contextlib.ExitStack() as held:
        try:
            inside = _is_replaceable(target) and not _is_exchangeable(target)
            created = [parent for parent in target.parents if not parent.exists()]
            remove_leftovers(target)
            place = target if inside else target.parent
            place.mkdir(parents=True, exist_ok=True)
            stage = held.enter_context(staging.stage(place, target.name))
        except OSError as error:
            _remove_empty(created)
            raise OutputError(staging.unwritable(target, error)) from None
        try:
            yield stage
            with _signals_deferred():
                _take_place(stage, target)
        except BaseException:
            held.close()
            _remove_empty(created)
            raise


class _Withdrawn(Exception):  # noqa: N818 - it is no fault
    """What was staged is not to take its place."""


def check_target(target: Path) -> None:
    """Raises the OutputError that ``staged(target)`` would, and leaves all as it was."""
    with contextlib.suppress(_Withdrawn), staged(target):
        raise _Withdrawn


def _is_replaceable(target: Path) -> bool:
    """Whether ``target`` is there, empty or an artifact; raises OutputError if it is other work."""
    if not target.exists():
        return False
    if not target.is_dir():
        raise OutputError(f"{target}: a file is in the way: choose another --output")
    ours = {METADATA, SYMBOL, PARAMETERS}
    names = (entry.name for entry in target.iterdir())
    entries = {name for name in names if not staging.is_stage(name, target.name)}
    if not entries <= ours or (entries and METADATA not in entries):
        stranger = min(entries - ours, default="no " + METADATA)
        raise OutputError(
            f"{target}: holds more than a model ({stranger}), and is left alone: "
            "choose another --output"
        )
    return True


def _is_exchangeable(target: Path) -> bool:
    """Whether the folder may be swapped for another: nobody stands in it, nothing is mounted."""
    return (
        not _is_mounted(target)
        and target != Path.cwd()
        and os.access(target.parent, os.W_OK)
        and target.stat().st_dev == target.parent.stat().st_dev
    )


def _is_mounted(folder: Path) -> bool:
    """Whether something is mounted at ``folder``, be it another folder of the same disk."""
    if folder.is_mount():
        return True
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    path = str(folder.resolve())
    for sign in ("\\", " ", "\t", "\n"):  # as mountinfo writes them
        path = path.replace(sign, f"\\{ord(sign):03o}")
    return any(line.split()[4] == path for line in lines)


def _take_place(stage: Path, target: Path) -> None:
    """Move the whole artifact in one step; only where that cannot be, by file, metadata last."""
    if not target.exists():
        stage.rename(target)
        return
    beside = stage.parent == target.parent
    if beside and _holds_nothing_else(target) and staging.exchange(stage, target):
        return  # what was replaced vanishes as the stage
    for name in (PARAMETERS, SYMBOL, METADATA):
        os.replace(stage / name, target / name)


def _holds_nothing_else(target: Path) -> bool:
    """Whether nobody has put anything, or begun a stage, in ``target`` during the training."""
    return {entry.name for entry in target.iterdir()} <= {METADATA, SYMBOL, PARAMETERS}


@contextmanager
def _signals_deferred() -> Iterator[None]:
    """Nothing interrupts between the first file and the last."""
    asked = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, asked)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def remove_leftovers(target: Path) -> None:
    """Remove the stages, beside and in ``target``, of processes that were killed."""
    target = target.resolve()
    for folder in (target.parent, target):
        staging.sweep(folder, target.name)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:  # innermost first
        with contextlib.suppress(OSError):
            folder.rmdir()


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
