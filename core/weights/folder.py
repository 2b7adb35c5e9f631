"""The folder of pretrained weights: what it holds, written whole, and read with checks.

    model-0000.params   the arrays, as mxnet saves them, by the names of their network
    weights.json        what they are, where they are from, and each file's size and SHA-256
    vocab.txt, …        whatever else belongs to them

It is what a training is given as its channel ``model``, here and in a job.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..artifact.metadata import PARAMETERS
from ..runtime import params, staging
from ..runtime.errors import DataError
from ..runtime.types import Array

ABOUT = "weights.json"
PACKED = "pretrained"  # the folder, in what `algoshelf package --weights` writes
FILES = (ABOUT, PARAMETERS)
LAYOUT_VERSION = 1
MAX_ABOUT_BYTES = 2**20
MAX_FILE_BYTES = params.MAX_BYTES
MAX_FILES = 100
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,78}[a-z0-9])?")
_TEXT = 2_000  # characters


class Kept(BaseModel):
    """A file of the folder."""

    model_config = ConfigDict(extra="forbid")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0, le=MAX_FILE_BYTES)


class About(BaseModel):
    """What weights are: the fields as ``PretrainedWeights`` has them.

    ``source`` is the package or the file that they were made of, ``sha256`` that one's digest.
    """

    model_config = ConfigDict(extra="forbid")
    layout: int = LAYOUT_VERSION
    name: str = Field(max_length=80)
    network: str = Field(max_length=200)
    source: str = Field(default="", max_length=_TEXT)
    sha256: str = Field(default="", max_length=64)
    licence: str = Field(default="", max_length=_TEXT)
    summary: str = Field(default="", max_length=_TEXT)
    trained_on: str = Field(default="", max_length=_TEXT)
    accuracy: str = Field(default="", max_length=_TEXT)
    measured: str = Field(default="", max_length=_TEXT)
    date: str = Field(default="", max_length=40)
    files: Dict[str, Kept] = Field(default_factory=dict, max_length=MAX_FILES)


@dataclass(frozen=True)
class Pretrained:
    """A folder whose files are whole; ``about`` says what they are."""

    folder: Path
    about: About

    @property
    def digest(self) -> str:
        """The SHA-256 of the file of arrays."""
        return self.about.files[PARAMETERS].sha256

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(kept.size for kept in self.about.files.values())

    def arrays(self) -> dict[str, Array]:
        """The arrays by name, in memory of their own. Raises DataError."""
        path = self.folder / PARAMETERS
        try:
            return params.read(path).arrays
        except params.ParamsError as error:
            raise DataError(f"{path}: {error}") from None

    def file(self, name: str) -> Path:
        """One of the files that belong to them, such as ``vocab.txt``. Raises DataError."""
        if name not in self.about.files:
            raise DataError(
                f"{self.folder}: holds no {name}; there are {', '.join(self.about.files)}"
            )
        return self.folder / name


def name_fault(name: str) -> Iterator[str]:
    """Why ``name`` can be none of weights: it is that of a folder, too."""
    if not _NAME.fullmatch(name):
        yield (
            "expected a name of up to 80 small letters, digits, dots, hyphens and underscores, "
            f"which begins and ends with a letter or digit, got {name!r}"
        )


def is_folder(path: Path) -> bool:
    """Whether ``path`` is a folder of pretrained weights, rather than a model's."""
    return (path / ABOUT).is_file()


def read(path: Path, *, digests: bool = True) -> Pretrained:
    """The weights in the folder ``path``, all of whose files are compared with their ``digests``,
    or by their sizes alone, which takes no time.

    Raises DataError with all that is wrong: what is damaged, is missing, or does not belong there.
    """
    about = _about(path / ABOUT)
    faults = [
        fault for name, kept in about.files.items() for fault in _faults(path / name, kept, digests)
    ]
    if PARAMETERS not in about.files:
        faults.append(f"{path / ABOUT}: names no {PARAMETERS}")
    if faults:
        raise DataError(*faults)
    return Pretrained(path, about)


def write(
    folder: Path,
    about: About,
    arrays: Mapping[str, Array],
    files: Mapping[str, Path | bytes] | None = None,
) -> Pretrained:
    """Write ``arrays`` and the ``files`` that belong to them into ``folder``, which is there.

    Raises OSError.
    """
    params.write(folder / PARAMETERS, arrays)
    for name, content in (files or {}).items():
        body = content if isinstance(content, bytes) else content.read_bytes()
        (folder / name).write_bytes(body)
    kept = {}
    for name in (PARAMETERS, *(files or {})):
        path = folder / name
        staging.sync(path)
        kept[name] = Kept(sha256=staging.digest_of(path), size=path.stat().st_size)
    whole = about.model_copy(update={"files": kept})
    (folder / ABOUT).write_text(whole.model_dump_json(indent=1) + "\n", encoding="utf-8")
    staging.sync(folder / ABOUT)
    return Pretrained(folder, whole)


def _about(path: Path) -> About:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_ABOUT_BYTES + 1)
        if len(content) > MAX_ABOUT_BYTES:
            raise DataError(f"{path}: is larger than {MAX_ABOUT_BYTES:,} bytes")
        found = About.model_validate(json.loads(content))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        told = [f"{path}: {_place(each)}: {each['msg']}" for each in error.errors()]
        raise DataError(*told[:10]) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is damaged: expected JSON: {error}") from None
    if found.layout != LAYOUT_VERSION:
        raise DataError(
            f"{path}: is of layout {found.layout}, expected {LAYOUT_VERSION}: get the weights again"
        )
    strange = [name for name in found.files if "/" in name or name in ("", ".", "..", ABOUT)]
    if strange:
        raise DataError(*(f"{path}: {name!r} is no file of the folder" for name in strange))
    return found


def _place(error: Mapping[str, object]) -> str:
    where: tuple[object, ...] = error["loc"]  # type: ignore[assignment]
    return ".".join(map(str, where)) or "its content"


def _faults(path: Path, kept: Kept, digests: bool) -> Iterator[str]:
    """What makes the file another than it was."""
    try:
        size = path.stat().st_size
        if size != kept.size:
            yield f"{path}: is damaged: it has {size:,} bytes, expected {kept.size:,}"
        elif digests and staging.digest_of(path) != kept.sha256:
            yield f"{path}: is damaged: its SHA-256 is another than {ABOUT} has"
    except OSError as error:
        yield f"{path}: {error.strerror}"
