"""``package NAME|MODEL``: an algorithm or a trained model as SageMaker takes it."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ...core.artifact.folder import Artifact
from ...core.artifact.metadata import METADATA
from ...core.runtime.errors import InputError
from ..discovery import Entry, catalog, opened
from .flags import PATH
from .output import json_option, print_json

SCRIPT, CONTAINER, MODEL = "script", "container", "model"


@click.command()
@click.argument("what", metavar="NAME|MODEL")
@click.option(
    "--output", type=PATH, metavar="DIR", required=True,
    help="Where to write it: a new folder, or an empty one",
)  # fmt: skip
@click.option(
    "--as", "kind", type=click.Choice([SCRIPT, CONTAINER, MODEL]), required=True,
    help="script: a source_dir for AWS's MXNet image; container: what an image of your own is "
    "built from; model: the model.tar.gz of MODEL with the code that answers",
)  # fmt: skip
@click.option(
    "--offline", is_flag=True, help="Add the wheels that are needed, for jobs without network."
)
@click.option(
    "--lock", is_flag=True,
    help="Have the image install what pip finds now, in these versions and by their hashes.",
)  # fmt: skip
@json_option
def package(what: str, output: Path, kind: str, offline: bool, lock: bool, as_json: bool) -> None:
    """Pack the algorithm NAME, or MODEL, a folder that `train` wrote, for SageMaker.

    The same contents give the same bytes, whenever and wherever they are packed.
    """
    from ..packaging import contents, kinds

    if lock and kind != CONTAINER:
        raise InputError(f"--lock: is of an image of your own: --as {CONTAINER}")
    entry, artifact = _meant(what)
    if kind == SCRIPT:
        files = kinds.script(entry, output, offline=offline)
    elif kind == CONTAINER:
        if offline:
            raise InputError("--offline: what an image needs is installed when it is built")
        files = kinds.container(entry, output, lock=lock)
    elif artifact is None:
        raise InputError(
            f"{what}: --as {MODEL} packs a trained model: give the folder that `algoshelf train` "
            "wrote"
        )
    else:
        files = kinds.model(entry, artifact, output, offline=offline)
    size = sum(contents.size_of(content) for content in files.values())
    if as_json:
        print_json(
            {
                "algorithm": entry.algorithm.name,
                "as": kind,
                "output": str(output),
                "bytes": size,
                "files": sorted(files),
            }
        )
        return
    click.echo(f"{entry.algorithm.name} is in {output}: {len(files)} files, {size:,} bytes. Next:")
    click.echo(_next(kind, shlex.quote(str(output))))


def _meant(what: str) -> tuple[Entry, Artifact | None]:
    """The algorithm, and the artifact where ``what`` is one; a name goes before a folder."""
    if what not in catalog().entries and (Path(what) / METADATA).is_file():
        artifact, algorithm = opened(Path(what))
        return catalog().get(algorithm.name), artifact
    if "/" in what:
        Artifact.open(Path(what))
    return catalog().get(what), None


def _next(kind: str, output: str) -> str:
    """What is done with it, in a line or two."""
    if kind == SCRIPT:
        return (
            f'  sagemaker.mxnet.MXNet("entry_point.py", source_dir="{output}", '
            'framework_version="1.9.0", py_version="py38", …).fit(…)'
        )
    if kind == MODEL:
        return (
            f"  aws s3 cp {output}/model.tar.gz s3://…\n"
            '  sagemaker.mxnet.MXNetModel("s3://…/model.tar.gz", entry_point="inference.py", '
            'framework_version="1.9.0", py_version="py38", …).deploy(…)'
        )
    return (
        f"  docker build -t NAME --build-arg BASE=python:3.11-slim-bookworm@sha256:… {output}\n"
        f"  (its first lines say how to find the digest; -f {output}/Dockerfile.gpu for GPUs)"
    )
