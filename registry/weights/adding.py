"""``weights add``: weights of one's own, from a file or a training, by a name."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Mapping

from pydantic import ValidationError

from ...core.runtime.errors import DataError, InputError, did_you_mean
from ...core.runtime.staging import digest_of
from ...core.weights import FILES, About, Pretrained, formats, name_fault
from ..discovery import catalog
from . import cache


def add(
    name: str, source: Path, network: str, files: Mapping[str, Path], **about: str
) -> Pretrained:
    """Keep the arrays of the file ``source`` by ``name``, with the ``files`` that belong to them.

    ``about`` are fields of About. Raises InputError with all that is wrong, and OutputError.
    """
    faults = list(name_fault(name))
    if name in catalog().weights:
        row = catalog().weights[name].row
        faults.append(f"{name}: are those of {row.package} already: choose another name")
    faults += _network_faults(network)
    for file, path in files.items():
        if "/" in file or file.startswith(".") or file in FILES or not file.isprintable():
            faults.append(f"--file: {file!r} cannot be the name of a file beside the weights")
        if not path.is_file():
            faults.append(f"--file {file}: {path}: no such file")
    arrays, digest = {}, ""
    try:
        arrays, digest = formats.read(source), digest_of(source)
    except DataError as error:
        faults += error.faults
    except OSError as error:
        faults.append(f"{source}: {error.strerror}")
    told: dict[str, Any] = {
        **about,
        "name": name,
        "network": network,
        "source": f"the file {source.name}",
        "sha256": digest,
        "date": date.today().isoformat(),
    }
    try:
        made = About(**told)
    except ValidationError as error:
        faults += [f"{each['loc'][0]}: {each['msg']}" for each in error.errors()]
    if faults:
        raise InputError(*faults)
    return cache.add(made, arrays, files)


def _network_faults(network: str) -> list[str]:
    entries = list(catalog())
    if any(entry.algorithm.begins_with(network) is not None for entry in entries):
        return []
    known = {
        str(choice)
        for entry in entries
        for info in entry.algorithm.Hyperparameters.describe()
        if info.name == "network"
        for choice in info.choices
    } | {stated.row.network for stated in catalog().weights.values()}
    return [
        f"--network: no installed algorithm begins with weights of {network!r}"
        f"{did_you_mean(network, known)}; give it as the algorithm's own --network has it, which "
        "`algoshelf info NAME` shows"
    ]
