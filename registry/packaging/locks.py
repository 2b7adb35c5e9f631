"""What pip finds today for the Python of an image of ours: each by its version and its hashes.

pip chooses the versions and knows the hashes. Which packages are needed is found here, since pip
reads markers such as ``python_version >= "3.12"`` as of the Python that runs it, and not of that
for which it looks.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, Mapping, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ...core.runtime.errors import AlgoshelfError
from . import running
from .contents import OF_ONNX

MACHINES = ("x86_64", "aarch64")
# The newest glibc whose wheels may be taken: Debian 12 has 2.36, Amazon Linux 2023 2.34.
GLIBC = 34
_PYTHON = ".".join(map(str, OF_ONNX.feature_version))
ROUNDS = 25  # a chain of requirements is no longer


@dataclass(frozen=True)
class Package:
    """What pip found of a name: a version, the SHA-256 of its wheel, and what it requires."""

    version: str
    sha256: str
    requires: tuple[Requirement, ...]


Packages = Dict[str, Package]


def environment(machine: str) -> dict[str, str]:
    """What markers ask about, of the image's Python on a processor."""
    return {
        "implementation_name": "cpython",
        "implementation_version": OF_ONNX.version,
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": OF_ONNX.version,
        "python_version": _PYTHON,
        "sys_platform": "linux",
    }


def locked(roots: Sequence[Requirement], machines: Sequence[str] = MACHINES) -> list[str]:
    """The lines of a requirements.txt that has, on each of ``machines``, all that ``roots`` need.

    A package has one version on all of them. Raises AlgoshelfError with what pip says.
    """
    found: dict[str, Packages] = {}
    pins: dict[str, str] = {}
    for machine in machines:
        found[machine] = _resolved(roots, machine, pins)
        pins.update({name: package.version for name, package in found[machine].items()})
    lines = []
    for name in sorted(pins):
        there = {machine: found[machine][name] for machine in machines if name in found[machine]}
        hashes = sorted({package.sha256 for package in there.values()})
        marker = "" if len(there) == len(machines) else f' ; platform_machine == "{min(there)}"'
        options = "".join(f" --hash=sha256:{digest}" for digest in hashes)
        lines.append(f"{name}=={pins[name]}{marker}{options}")
    return lines


def installed(lines: Sequence[str], machine: str, target: Path) -> None:
    """Install what ``locked`` gave into the folder ``target``, as it is for ``machine``.

    Raises AlgoshelfError with what pip says.
    """
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        listed = Path(scratch, "requirements.txt")
        listed.write_text("".join(f"{line}\n" for line in lines))
        command = [*_pip(machine), "--no-compile", "--require-hashes", "--target", str(target)]
        running.pip([*command, "--requirement", str(listed)], "--engine onnx")


def _resolved(roots: Sequence[Requirement], machine: str, pins: Mapping[str, str]) -> Packages:
    """All that ``roots`` need on ``machine``, asked for until nothing more is required."""
    found: Packages = {}
    asked: list[str] = []
    for _ in range(ROUNDS):
        wanted = _wanted(roots, found, machine)
        if wanted == asked:
            return found
        asked = wanted
        found = _found(asked, machine, pins)
    raise AlgoshelfError(
        "the requirements contradict each other: pip finds no versions that fit together of "
        + ", ".join(asked)
    )


def _wanted(roots: Iterable[Requirement], found: Packages, machine: str) -> list[str]:
    """What ``roots`` require, and what that requires as far as it is ``found``; a line a name."""
    specifiers: dict[str, set[str]] = {}
    addresses: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    pending = list(roots)
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        specifiers.setdefault(name, set()).update(map(str, requirement.specifier))
        if requirement.url:
            addresses[name] = requirement.url
        for extra in ("", *requirement.extras):
            if name in found and (name, extra) not in seen:
                seen.add((name, extra))
                pending += _applying(found[name].requires, extra, machine)
    return [
        f"{name} @ {addresses[name]}" if name in addresses else name + ",".join(sorted(limits))
        for name, limits in sorted(specifiers.items())
    ]


def _applying(requires: Iterable[Requirement], extra: str, machine: str) -> list[Requirement]:
    known = {**environment(machine), "extra": extra}
    return [each for each in requires if each.marker is None or each.marker.evaluate(known)]


def _found(lines: Sequence[str], machine: str, pins: Mapping[str, str]) -> Packages:
    """What pip would install for each of ``lines`` alone, of the versions that ``pins`` name."""
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        folder = Path(scratch)
        (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in lines))
        pinned = "".join(f"{name}=={version}\n" for name, version in pins.items())
        (folder / "constraints.txt").write_text(pinned)
        command = [*_pip(machine), "--dry-run", "--ignore-installed", "--target", "nowhere"]
        command += ["--report", "report.json", "--constraint", "constraints.txt"]
        running.pip([*command, "--requirement", "requirements.txt"], "--engine onnx", folder)
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    found: Packages = {}
    for each in report["install"]:
        described = each["metadata"]
        found[canonicalize_name(described["name"])] = Package(
            described["version"],
            each["download_info"]["archive_info"]["hashes"]["sha256"],
            _requirements(described["name"], described.get("requires_dist", ())),
        )
    return found


def _requirements(name: str, lines: Iterable[str]) -> tuple[Requirement, ...]:
    try:
        return tuple(map(Requirement, lines))
    except InvalidRequirement as error:
        raise AlgoshelfError(f"{name}: its requirements cannot be read: {error}") from None


def _pip(machine: str) -> list[str]:
    """``pip install`` of wheels alone, each without what it requires, for another machine."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--implementation", "cp"]
    command += ["--python-version", _PYTHON]
    tags = [f"manylinux_2_{minor}" for minor in range(GLIBC, 4, -1)]
    for tag in (*tags, "manylinux2014", "manylinux2010", "manylinux1"):
        command += ["--platform", f"{tag}_{machine}"]
    return command
