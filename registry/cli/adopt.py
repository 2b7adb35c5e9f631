"""``adopt``: a model from elsewhere, trained by mxnet or Gluon, as a model folder."""

from __future__ import annotations

import math
import shlex
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

import click

from ...core.artifact import adoption
from ...core.artifact.adoption import BGR, RGB, Files, Pixels
from ...core.artifact.target import check_target
from ...core.inference.adopting import adopt as adopt_model
from ...core.runtime.errors import InputError
from ..discovery import catalog
from .flags import PATH, SectionedCommand
from .output import json_option, print_json, say
from .training import OUTPUT
from .values import Values

RANGES = {"0-1": 1.0, "0-255": 255.0}
OF_PIXELS = ("mean", "std", "pixel_range", "channels")
MAX_SIDE = 2**16


@click.command(cls=SectionedCommand)
@click.argument("archive", type=PATH, required=False, metavar="[MODEL.tar.gz]")
@click.option(
    "--algorithm", metavar="NAME", required=True, help="The algorithm that is to answer with it."
)
@click.option("--symbol", type=PATH, metavar="FILE", help="The graph: PREFIX-symbol.json.")
@click.option(
    "--params", type=PATH, metavar="FILE",
    help="The parameters: PREFIX-0010.params of a Module or of Gluon's export(), or with --network "
    "a .params file of Gluon's save_parameters().",
)  # fmt: skip
@click.option(
    "--network", metavar="NAME",
    help="The network whose parameters --params holds, where there is no graph: one of those that "
    "`algoshelf info NAME` lists.",
)  # fmt: skip
@click.option(
    "--output-layer", metavar="NAME",
    help="The layer whose output is the answer, by its name in the graph. [default: the last]",
)  # fmt: skip
@click.option(
    "--classes", type=PATH, metavar="FILE",
    help="The names of the classes, one a line, in the order of the outputs. [default: 0, 1, …]",
)  # fmt: skip
@click.option(
    "--input-shape", metavar="C,H,W",
    help="Channels, height and width of the pictures that the network takes, such as 3,224,224. "
    "[default: as the archive, the graph or the network says]",
)  # fmt: skip
@click.option(
    "--mean", metavar="LIST",
    help="What was subtracted from the pixel values in training, one number a channel, in the "
    "units of --pixel-range.",
)  # fmt: skip
@click.option("--std", metavar="LIST", help="What the pixel values were divided by, after --mean.")
@click.option(
    "--pixel-range", type=click.Choice(list(RANGES)),
    help="The pixel values that the network was trained on, before --mean and --std. [default: "
    "0-1 where no number of --mean and --std is above 1, otherwise 0-255]",
)  # fmt: skip
@click.option(
    "--channels", type=click.Choice([RGB, BGR]),
    help=f"The order of the colours in training; OpenCV's is {BGR}. [default: {RGB}]",
)  # fmt: skip
@click.option(
    "--output", type=PATH, metavar="DIR",
    help="Folder for the model. [default: models/ALGORITHM]",
)  # fmt: skip
@json_option
def adopt(archive: Path | None, algorithm: str, as_json: bool, **options: Any) -> None:
    """Make a model folder of a model that mxnet, Gluon or SageMaker's own algorithms trained.

    Give its graph and parameters (--symbol, --params), parameters alone (--params, --network), or
    the MODEL.tar.gz of SageMaker's built-in image-classification or k-means. The model is written
    once it loads and has answered; from then on it is like one that `algoshelf train` wrote.

    Example: algoshelf adopt --algorithm image-classification --symbol resnet-symbol.json
    --params resnet-0010.params --classes classes.txt --input-shape 3,224,224
    """
    entry = catalog().get(algorithm)
    faults: list[str] = []
    given = {name: value for name, value in options.items() if value is not None}
    values = Values(given, faults)
    known = {
        "classes": values.attempt(lambda: _classes(given)),
        "shape": values.read("input_shape", _sizes),
        "network": given.get("network", ""),
        "pixels": _pixels(values),
        "layer": given.get("output_layer", ""),
    }
    faults += _file_faults(archive, given)
    if faults:
        raise InputError(*faults)
    target = given.get("output", OUTPUT / algorithm)
    check_target(target)
    with _files(archive, given) as files:
        made = adopt_model(
            entry.algorithm,
            adoption.read(files, **known),
            target,
            f"{entry.distribution} {entry.version}",
        )
    if as_json:
        print_json(
            {
                "model": str(target),
                "algorithm": entry.algorithm.name,
                "input": made.metadata.input.model_dump(mode="json"),
                "classes": list(made.metadata.classes),
                "origin": made.metadata.origin,
                "notes": list(made.notes),
            }
        )
        return
    for note in made.notes:
        say(note)
    place = shlex.quote(str(target))
    click.echo(f"the model is in {target}. Next:\n  algoshelf evaluate {place} --test PATH")
    click.echo(f"  algoshelf serve {place}\n  algoshelf export {place}")


@contextmanager
def _files(archive: Path | None, given: dict[str, Any]) -> Iterator[Files]:
    if archive is None:
        yield Files(given["params"], given.get("symbol"))
        return
    with adoption.unpacked(archive) as files:
        yield files


def _file_faults(archive: Path | None, given: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the files that are named, before any is opened."""
    named = {"--symbol": given.get("symbol"), "--params": given.get("params")}
    if archive is not None and any(named.values()):
        yield f"{archive}: an archive holds all files: leave out --symbol and --params"
    if archive is None and named["--params"] is None:
        yield "give --params, the file with the parameters, or a MODEL.tar.gz"
    if named["--symbol"] is not None and "network" in given:
        yield "--network: --symbol says already what the network is: leave one of them out"
    for name, path in {**named, "MODEL.tar.gz": archive}.items():
        if path is not None and not path.is_file():
            yield f"{path}: {'is a folder' if path.is_dir() else 'no such file'} ({name})"


def _classes(given: dict[str, Any]) -> Any:
    return adoption.read_classes(given["classes"]) if "classes" in given else ()


def _sizes(text: str) -> tuple[int, ...]:
    """Whole numbers with commas between."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdecimal() and 0 < len(word) < 6 for word in words):
        raise ValueError(f"expected sizes such as 3,224,224, got {text[:80]!r}")
    sizes = tuple(map(int, words))
    if not all(0 < size <= MAX_SIDE for size in sizes) or len(sizes) > 3:
        raise ValueError(f"expected up to three sizes from 1 to {MAX_SIDE}, got {text[:80]!r}")
    return sizes


def _numbers(least: float) -> Callable[[str], tuple[float, ...]]:
    """Reads finite numbers above ``least`` with commas between."""
    what = "numbers above 0" if least == 0 else "finite numbers"

    def parse(text: str) -> tuple[float, ...]:
        try:
            found = tuple(float(word) for word in text.split(","))
        except ValueError:
            found = (math.nan,)
        if not all(least < value < 1e30 for value in found) or len(found) > 4:
            raise ValueError(f"expected {what} such as 0.5,0.5,0.5, got {text[:80]!r}")
        return found

    return parse


def _pixels(values: Values) -> Pixels | None:
    """What is told of the pictures; None where nothing is."""
    mean = values.read("mean", _numbers(-1e30), ())
    std = values.read("std", _numbers(0), ())
    if not any(name in values.given for name in OF_PIXELS):
        return None
    small = bool(mean or std) and all(abs(value) <= 1 for value in (*mean, *std))
    told = values.given.get("pixel_range", "0-1" if small else "0-255")
    return Pixels(RANGES[told], mean, std, values.given.get("channels", RGB))
