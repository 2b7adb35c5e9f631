"""The requirements that AWS's MXNet image does not meet, and so has to install."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import tempfile
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ...core.runtime.errors import InputError, PluginError
from ..discovery import Entry
from . import running
from .contents import OF_AWS_IMAGE, OWN, Files, distribution_of, is_own, read

SCAFFOLD = Path(__file__).parent / "scaffold"
# Of the dependencies of algoshelf, what its command line alone needs.
COMMAND_LINE = frozenset(["click", "rich", "packaging"])
# What both of AWS's last MXNet images hold: aws/deep-learning-containers, mxnet/*/docker/1.9/py3.
# Their numpy is older than 1.20, and algoshelf needs 1.21.
IMAGE = {"mxnet": "1.9.0", "gluoncv": "0.8.0", "gluonnlp": "0.10.0"}
ENVIRONMENT = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": OF_AWS_IMAGE.version,
    "python_version": "3.8",
    "sys_platform": "linux",
}
WHEELS = "wheels"
PLATFORMS = ("manylinux1_x86_64", "manylinux2014_x86_64", "manylinux_2_17_x86_64", "linux_x86_64")
LOCKED_FOR = ((3, 11), "Linux", "x86_64")  # of an image of one's own: scaffold/Dockerfile


def missing(entry: Entry) -> list[str]:
    """The lines of ``requirements.txt``: sorted, pinned where pins.txt or a requirement does."""
    pins = _pins()
    wanted: dict[str, list[Requirement]] = {}
    for requirement in _wanted(entry):
        wanted.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    lines = []
    for name, requirements in sorted(wanted.items()):
        if name in IMAGE and all(IMAGE[name] in each.specifier for each in requirements):
            continue
        if name in pins and all(pins[name] in each.specifier for each in requirements):
            lines.append(f"{name}=={pins[name]}")
        else:
            lines += sorted({_line(each) for each in requirements})
    return lines


def text(lines: list[str], *, offline: bool = False) -> bytes:
    """The content of ``requirements.txt``; ``offline`` looks into the folder of wheels alone."""
    options = ["--no-index", f"--find-links {WHEELS}"] if offline else []
    return "".join(f"{line}\n" for line in [*options, *lines]).encode()


def wheels(lines: list[str]) -> Files:
    """The wheels of ``lines`` and of all that they need, for the image's Python.

    Raises AlgoshelfError with what pip says.
    """
    with tempfile.TemporaryDirectory() as scratch:
        listed = Path(scratch) / "requirements.txt"
        listed.write_bytes(text(lines))
        folder = Path(scratch) / WHEELS
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
        ]
        command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", "3.8"]
        command += [word for platform in PLATFORMS for word in ("--platform", platform)]
        command += ["--constraint", str(SCAFFOLD / "pins.txt")]
        command += ["--requirement", str(listed), "--dest", str(folder)]
        running.pip(command, "--offline")
        return {f"{WHEELS}/{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}


def locked(lines: list[str], files: Files) -> list[str]:
    """What pip would install for ``lines`` now, each in its version and with its SHA-256.

    ``files`` are the packed ones, of whose wheels lines may speak. Resolved by this Python, which
    has to be the image's. Raises AlgoshelfError with what pip says, InputError.
    """
    here = (sys.version_info[:2], platform.system(), platform.machine())
    if here != LOCKED_FOR:
        raise InputError(
            f"--lock: an image has {_named(LOCKED_FOR)}, and this is {_named(here)}, for which pip "
            "may choose other versions: run it there, or leave out --lock"
        )
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        folder = Path(scratch)
        (folder / WHEELS).mkdir()
        for path, content in files.items():
            if path.startswith(f"{WHEELS}/"):
                (folder / path).write_bytes(read(content))
        (folder / "requirements.txt").write_bytes(text(lines))
        command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
        command += ["--quiet", "--dry-run", "--ignore-installed", "--report", "report.json"]
        running.pip([*command, "--requirement", "requirements.txt"], "--lock", folder)
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    packed = {path: line for line in lines for path in files if line.startswith(f"./{path}")}
    found = [
        f"{line} --hash=sha256:{hashlib.sha256(read(files[path])).hexdigest()}"
        for path, line in packed.items()
    ]
    own = {PurePosixPath(path).name for path in packed}
    for each in report["install"]:
        origin, described = each["download_info"], each["metadata"]
        if PurePosixPath(origin["url"]).name not in own:
            digest = origin["archive_info"]["hashes"]["sha256"]
            name = canonicalize_name(described["name"])
            found.append(f"{name}=={described['version']} --hash=sha256:{digest}")
    return found


def _named(system: tuple[tuple[int, ...], str, str]) -> str:
    version, name, machine = system
    return f"Python {'.'.join(map(str, version))} on {name}, {machine}"


def _wanted(entry: Entry) -> Iterator[Requirement]:
    """The requirements of core, and of the plugin with the extras that its algorithm names."""
    extras = entry.algorithm.extras if is_own(entry) else ()
    own = metadata.distribution(OWN)
    for requirement in required(own, frozenset(extras)):
        if canonicalize_name(requirement.name) not in COMMAND_LINE:
            yield requirement
    if is_own(entry):
        return
    for requirement in required(distribution_of(entry), frozenset(entry.algorithm.extras)):
        if canonicalize_name(requirement.name) != OWN:
            yield requirement
            continue
        # algoshelf itself is packed: what its extras mean here is what they require
        for named in sorted(requirement.extras - {"cpu", "gpu", "all"}):
            yield from _of_extra(own, named)


def required(
    distribution: metadata.Distribution,
    extras: frozenset[str],
    environment: Mapping[str, str] = ENVIRONMENT,
) -> list[Requirement]:
    """What ``distribution`` requires where markers find ``environment``, that of AWS's image unless
    another is given, with ``extras``. Raises PluginError.
    """
    name = distribution.metadata["Name"]
    offered = {canonicalize_name(e) for e in distribution.metadata.get_all("Provides-Extra") or ()}
    strange = sorted(extra for extra in extras if canonicalize_name(extra) not in offered)
    if strange:
        raise PluginError(f"{name} offers no extra {', '.join(strange)}, which its algorithm names")
    found = []
    for line in distribution.requires or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise PluginError(f"{name}: its requirement {line!r} cannot be read: {error}") from None
        if _applies(requirement, extras, environment):
            found.append(requirement)
    return found


def _of_extra(distribution: metadata.Distribution, extra: str) -> list[Requirement]:
    with_it = required(distribution, frozenset([extra]))
    without = {str(requirement) for requirement in required(distribution, frozenset())}
    return [requirement for requirement in with_it if str(requirement) not in without]


def _applies(
    requirement: Requirement, extras: frozenset[str], environment: Mapping[str, str]
) -> bool:
    marker = requirement.marker
    return marker is None or any(
        marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras)
    )


def _line(requirement: Requirement) -> str:
    """As pip reads it, without the marker, which holds."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    where = f" @ {requirement.url}" if requirement.url else str(requirement.specifier)
    return f"{canonicalize_name(requirement.name)}{extras}{where}"


def _pins() -> dict[str, str]:
    lines = (SCAFFOLD / "pins.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))
