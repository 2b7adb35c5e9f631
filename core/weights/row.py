"""A row of the table of pretrained weights: where they are to be had, and what they are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Callable, Dict, Iterator, Mapping

from ..runtime.types import Array
from .folder import FILES, MAX_FILE_BYTES, About, name_fault

Arrays = Dict[str, Array]
Convert = Callable[[Arrays], Mapping[str, Array]]
PYPI, NPM = "pypi", "npm"
REGISTRIES = (PYPI, NPM)
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+!_-]{0,99}")
_PROJECT = {
    PYPI: re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?"),
    NPM: re.compile(r"(@[a-z0-9][a-z0-9._-]{0,99}/)?[a-z0-9_][a-z0-9._-]{0,99}"),
}
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Package:
    """The one archive of one version of a package: a wheel of PyPI, or what ``npm pack`` writes.

    ``sha256`` and ``size``, in bytes, are the archive's: nothing in it is looked at before both
    agree.
    """

    registry: str
    name: str
    version: str
    sha256: str
    size: int

    def __str__(self) -> str:
        return f"{self.registry} {self.name} {self.version}"

    @property
    def pinned(self) -> str:
        """As the registry's client takes it."""
        return f"{self.name}{'==' if self.registry == PYPI else '@'}{self.version}"

    def faults(self) -> Iterator[str]:
        """What is wrong with it, a sentence each."""
        if self.registry not in REGISTRIES:
            yield f"package: expected a registry of {', '.join(REGISTRIES)}, got {self.registry!r}"
        elif not _PROJECT[self.registry].fullmatch(self.name):
            yield f"package: {self.name!r} is no name of a package of {self.registry}"
        if not _VERSION.fullmatch(self.version):
            yield f"package: expected one version, such as 1.0.4, got {self.version!r}"
        if not _DIGEST.fullmatch(self.sha256):
            yield f"package: expected a SHA-256 of 64 hexadecimal digits, got {self.sha256!r}"
        if not 0 < self.size <= MAX_FILE_BYTES:
            yield f"package: expected a size of 1 to {MAX_FILE_BYTES:,} bytes, got {self.size!r}"


@dataclass(frozen=True)
class PretrainedWeights:
    """Weights that can be had by ``name``, as a plugin's hook ``algoshelf_weights`` states them.

    ``network`` is what algorithms know them by (``Algorithm.begins_with``), ``member`` the file in
    the package that holds them, whose ending says its format (``core/weights/formats.py``), and
    ``files`` are those that belong to them, such as a vocabulary: the name that each is to have,
    and its place in the package. ``convert`` makes of the arrays by their names there those by the
    names that the network has; without it they keep their own. Whoever changes what it does raises
    ``revision``, and what is in a cache is made anew.

    ``licence`` is an SPDX expression; ``accuracy`` is as published, ``measured`` here, both with
    the data; ``date`` is when all this was looked at, YYYY-MM-DD.
    """

    name: str
    network: str
    package: Package
    member: str
    licence: str
    summary: str
    trained_on: str
    date: str
    files: Mapping[str, str] = field(default_factory=dict)
    convert: Convert | None = None
    revision: int = 1
    accuracy: str = ""
    measured: str = ""

    @property
    def source(self) -> str:
        """What a cached folder was made of: of another source, it is another one."""
        changed = f", revision {self.revision}" if self.revision > 1 else ""
        return f"{self.package}{changed}"

    def about(self) -> About:
        """What is kept beside the arrays."""
        return About(
            name=self.name,
            network=self.network,
            source=self.source,
            sha256=self.package.sha256,
            licence=self.licence,
            summary=self.summary,
            trained_on=self.trained_on,
            accuracy=self.accuracy,
            measured=self.measured,
            date=self.date,
        )

    def members(self) -> tuple[str, ...]:
        """The files in the package that are wanted."""
        return (self.member, *self.files.values())

    def faults(self) -> Iterator[str]:
        """What is wrong with the row, a sentence each."""
        yield from name_fault(self.name)
        yield from self.package.faults()
        texts = ("network", "licence", "summary", "trained_on", "date")
        yield from (f"{text}: is empty" for text in texts if not getattr(self, text))
        for member in self.members():
            parts = PurePosixPath(member).parts
            if not parts or member.startswith("/") or ".." in parts:
                yield f"{member!r}: is no path in a package"
        for name in self.files:
            if "/" in name or not name.isprintable() or name.startswith(".") or name in FILES:
                yield f"files: {name!r} cannot be the name of a file beside the weights"
