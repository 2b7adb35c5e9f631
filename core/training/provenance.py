"""Where what runs comes from: the files of a class, their digest, the versions of packages."""

from __future__ import annotations

import hashlib
import inspect
import platform
from importlib import metadata
from pathlib import Path

from ..runtime import mx


def sources(cls: type) -> list[Path]:
    """The files of the package, or the module, that ``cls`` is written in."""
    path = Path(inspect.getfile(cls))
    packaged = (path.parent / "__init__.py").exists()
    return sorted(path.parent.rglob("*.py")) if packaged else [path]


def source_digest(cls: type) -> str:
    """Of the files of ``cls`` and of the algorithms of others that it builds on."""
    own = __name__.split(".", 1)[0] + ".core."
    written = [each for each in cls.__mro__ if hasattr(each, "train")]
    chosen = [each for each in written if each is cls or not each.__module__.startswith(own)]
    files = dict.fromkeys(file for each in chosen for file in sources(each))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def packages() -> dict[str, str]:
    versions = {"python": platform.python_version(), "mxnet": mx.load().__version__}
    for name in ("algoshelf", "numpy"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
