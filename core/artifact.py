"""The artifact: a folder that becomes ``model.tar.gz``, the same bytes for the same training.

model-symbol.json    the network's graph       (the names that AWS's MXNet toolkit uses)
model-0000.params    its parameters
algorithm.json       what made it, and how to ask it: see Metadata
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import re
import shutil
import signal
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from typing_extensions import Literal

from . import mx
from .errors import ArtifactError, OutputError
from .types import Context, HybridBlock

METADATA = "algorithm.json"
SYMBOL = "model-symbol.json"
PARAMETERS = "model-0000.params"
LAYOUT_VERSION = 1
MOST_METADATA_BYTES = 64 * 2**20  # a vocabulary may be long
MOST_FAULTS = 10
# Operators that follow addresses or open files which the graph names: no network needs them.
FORBIDDEN_OPERATORS = re.compile(
    r"_Native|_NDArray|_?Custom\w*|_cv\w+|_CrossDeviceCopy|_TensorRT|_sg_\w+"
)


class Example(BaseModel):
    """A request that the model can answer: a server warms up and proves itself by it."""

    content_type: str
    body: str


class InputSignature(BaseModel):
    """The network's input; 0 stands for a dimension that varies: the first, which is the batch,
    and the second where examples differ in length.
    """

    name: str = "data"
    shape: Tuple[int, ...]
    dtype: Literal["float32", "float16", "int32", "int64", "int8", "uint8"] = "float32"

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
    data: Dict[str, str] = Field(
        default_factory=dict, description="channel to the SHA-256 of the examples read from it"
    )
    examples: Dict[str, Dict[str, int]] = Field(
        default_factory=dict,
        description="channel to how many examples it had, and how many files were left out of it, "
        "pictures inverted, and the like",
    )
    packages: Dict[str, str] = Field(default_factory=dict)
    sha256: Dict[Literal["model-symbol.json", "model-0000.params"], str] = Field(
        default_factory=dict
    )

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, encoding: Dict[str, Any]) -> Dict[str, Any]:
        names = encoding.get("classes", [])
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ValueError("classes: expected a list of names")
        if len(set(names)) < len(names):
            raise ValueError("classes: a name stands twice")
        if not all(name.isprintable() for name in names):
            raise ValueError("classes: a name holds control characters")
        return encoding

    @property
    def classes(self) -> Tuple[str, ...]:
        """The names of the classes, in the order of the network's outputs; empty without any."""
        return tuple(self.encoding.get("classes", ()))


@dataclass(frozen=True)
class Model:
    """A loaded artifact: what ``model_fn`` returns and ``predict_fn`` is given.

    For one thread at a time: mxnet gives wrong answers where threads share a static graph.
    """

    block: HybridBlock
    metadata: Metadata
    device: Context


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
            if path.stat().st_size > MOST_METADATA_BYTES:
                raise ArtifactError(f"{path}: larger than {MOST_METADATA_BYTES:,} bytes")
            metadata = Metadata.model_validate_json(path.read_bytes())
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

    def load(self, device: Optional[Context] = None) -> Model:
        """The network on ``device`` (the CPU by default), ready to predict.

        Raises ArtifactError where the graph or the parameters are damaged.
        """
        device = device or mx.cpu()
        self.check()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of input types, which the parameters decide
                block = mx.gluon.SymbolBlock.imports(
                    str(self.folder / SYMBOL),
                    [self.metadata.input.name],
                    str(self.folder / PARAMETERS),
                    ctx=device,
                )
        except Exception as error:  # mxnet raises many kinds for a damaged file
            raise ArtifactError(
                f"{self.folder}: the network does not load: {_last_line(error)}"
            ) from error
        block.hybridize(static_alloc=True, static_shape=not self.metadata.input.is_ragged)
        return Model(block, self.metadata, device)

    def check(self) -> None:
        """Raises ArtifactError where a file is not the one that was written, or not to be loaded.

        mxnet is not needed.
        """
        for name, digest in self.metadata.sha256.items():
            if digest_of(self.folder / name) != digest:
                raise ArtifactError(
                    f"{self.folder / name}: does not load: it is not the file that {METADATA} "
                    "describes; it is damaged, or of another model"
                )
        self._check_graph()

    def _check_graph(self) -> None:
        """Refuse a graph that could do more than compute; mxnet itself trusts whatever it reads."""
        path = self.folder / SYMBOL
        try:
            graph = json.loads(path.read_bytes())
            operators = {node["op"] for node in graph["nodes"]}
            heads = [head[1] for head in graph["heads"]]
            groups = {node.get("attrs", {}).get("num_group", "1") for node in graph["nodes"]}
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise ArtifactError(f"{path}: does not load: it is no graph of mxnet's") from None
        odd = sorted(name for name in operators if FORBIDDEN_OPERATORS.fullmatch(str(name)))
        sound = all(re.fullmatch("[1-9][0-9]*", str(group)) for group in groups)
        if odd or not sound or any(head != 0 for head in heads):
            raise ArtifactError(
                f"{path}: does not load: it holds what no network of this catalog does"
                + (f" ({', '.join(odd)})" if odd else "")
            )


def write(folder: Path, block: HybridBlock, metadata: Metadata) -> None:
    """Write the artifact of a hybridized ``block`` that has run at least once into ``folder``.

    Raises OutputError where the disk does not take it.
    """
    try:
        block.export(str(folder / "model"), epoch=0)
        _check_written(folder / PARAMETERS, block)
        digests = {name: digest_of(folder / name) for name in (SYMBOL, PARAMETERS)}
        document = metadata.model_copy(update={"sha256": digests}).model_dump(mode="json")
        text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (folder / METADATA).write_text(text + "\n", encoding="utf-8")
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
    """
    target = target.resolve()  # through links, to where the files are to lie
    created: list[Path] = []
    try:
        inside = _is_replaceable(target) and not _is_exchangeable(target)
        created = [parent for parent in target.parents if not parent.exists()]
        stage = (target if inside else target.parent) / f".{target.name}.stage-{os.getpid()}"
        remove_leftovers(target)
        stage.mkdir(parents=True)
    except OSError as error:
        _remove_empty(created)
        raise OutputError(f"{target}: cannot be written: {error.strerror}") from None
    try:
        yield stage
        with _signals_deferred():
            _take_place(stage, target)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
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
    entries = {entry.name for entry in target.iterdir() if ".stage-" not in entry.name}
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
    if stage.parent == target.parent and _exchange(stage, target):
        shutil.rmtree(stage)
        return
    for name in (PARAMETERS, SYMBOL, METADATA):
        os.replace(stage / name, target / name)
    stage.rmdir()


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places at once; False where this system cannot."""
    with contextlib.suppress(AttributeError):
        swap = ctypes.CDLL(None).renameat2
        at_cwd, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        return bool(swap(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), exchange) == 0)
    return False


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
        for leftover in folder.glob(f".{target.name}.stage-*"):
            process = leftover.suffix.rpartition("-")[2]
            if not Path("/proc", process).exists():
                shutil.rmtree(leftover, ignore_errors=True)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:  # innermost first
        with contextlib.suppress(OSError):
            folder.rmdir()


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
