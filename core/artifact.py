"""The artifact: a folder that becomes ``model.tar.gz``, the same bytes for the same training.

model-symbol.json    the network's graph       (the names that AWS's MXNet toolkit uses)
model-0000.params    its parameters
algorithm.json       what made it, and how to ask it: see Metadata
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from . import mx
from .errors import ArtifactError, OutputError
from .types import Context, HybridBlock

METADATA = "algorithm.json"
SYMBOL = "model-symbol.json"
PARAMETERS = "model-0000.params"
LAYOUT_VERSION = 1


class Example(BaseModel):
    """A request that the model can answer: a server warms up and proves itself by it."""

    content_type: str
    body: str


class InputSignature(BaseModel):
    """The network's input; the first dimension is the batch and stands as 0."""

    name: str = "data"
    shape: Tuple[int, ...]
    dtype: str = "float32"


class Metadata(BaseModel):
    """``algorithm.json``. Nothing in it depends on when or where the training ran."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    layout_version: int = LAYOUT_VERSION
    algorithm: str
    algorithm_version: str
    hyperparameters: Dict[str, Any]
    seed: int
    input: InputSignature
    example: Example
    classes: Optional[List[str]] = None
    metrics: Dict[str, float] = Field(default_factory=dict)
    data: Dict[str, str] = Field(
        default_factory=dict, description="channel to the SHA-256 of the examples read from it"
    )
    packages: Dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A loaded artifact: what ``model_fn`` returns and ``predict_fn`` is given."""

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
        if not folder.exists():
            raise ArtifactError(f"{folder}: no such model folder")
        path = folder / METADATA
        if not path.is_file():
            raise ArtifactError(
                f"{folder}: not a model folder: it holds no {METADATA}. "
                "Give the folder that `algoshelf train` wrote"
            )
        try:
            metadata = Metadata.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ArtifactError(
                *(
                    f"{path}: {'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}"
                    for fault in error.errors()
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
            reason = str(error).strip().splitlines()
            raise ArtifactError(
                f"{self.folder}: the network does not load: "
                f"{reason[-1] if reason else type(error).__name__}"
            ) from error
        block.hybridize(static_alloc=True, static_shape=True)
        return Model(block, self.metadata, device)


def write(folder: Path, block: HybridBlock, metadata: Metadata) -> None:
    """Write the artifact of a hybridized ``block`` that has run at least once into ``folder``."""
    block.export(str(folder / "model"), epoch=0)
    text = json.dumps(
        metadata.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False
    )
    (folder / METADATA).write_text(text + "\n", encoding="utf-8")


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A folder beside ``target`` that takes its place on success and vanishes on any error.

    An earlier artifact at ``target`` is replaced; anything else there is refused. Raises
    OutputError at once where ``target`` cannot be written, so that no training is lost to it.
    """
    target = Path(os.path.abspath(target))
    _check_replaceable(target)
    created = [parent for parent in target.parents if not parent.exists()]
    stage: Optional[Path] = None
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            stage = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=str(target.parent)))
        except OSError as error:
            raise OutputError(f"{target}: cannot be written: {error.strerror}") from None
        yield stage
        _take_place(stage, target)
    except BaseException:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)
        for parent in created:  # innermost first
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        raise


def _check_replaceable(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(f"{target}: a file is in the way: choose another --output")
    if any(target.iterdir()) and not (target / METADATA).is_file():
        raise OutputError(
            f"{target}: holds files that are no model, and is left alone: choose another --output"
        )


def _take_place(stage: Path, target: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    stage.chmod(0o777 & ~umask)  # mkdtemp keeps others out
    old = stage.with_name(stage.name + "-old")
    if target.exists():
        target.rename(old)
    stage.rename(target)
    shutil.rmtree(old, ignore_errors=True)
