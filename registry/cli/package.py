"""``package NAME|MODEL``: package an algorithm or a trained model for SageMaker."""

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
    help="Folder to write to; it must be new or empty.",
)  # fmt: skip
@click.option(
    "--as", "kind", type=click.Choice([SCRIPT, CONTAINER, MODEL]), required=True,
    help="What to write. script: a source_dir for AWS's MXNet image. container: a Dockerfile and "
    "all that it copies, for an image of your own. model: model.tar.gz of MODEL with its code.",
)  # fmt: skip
@click.option(
    "--offline",
    is_flag=True,
    help="Include the wheels of all requirements, for jobs without internet access.",
)
@click.option(
    "--lock", is_flag=True,
    help="With --as container: pin every requirement to the version that pip finds now, with its "
        "hash.",
)  # fmt: skip
@json_option
def package(what: str, output: Path, kind: str, offline: bool, lock: bool, as_json: bool) -> None:
    """Package the algorithm NAME, or MODEL, a folder written by `algoshelf train`, for SageMaker.

    The same contents always give the same bytes.

    Example: algoshelf package mnist-cnn --as script --output packed
    """
    from ..packaging import contents, kinds

    if lock and kind != CONTAINER:
        raise InputError(f"--lock applies to an image of your own only: give --as {CONTAINER}")
    entry, artifact = _meant(what)
    if kind == SCRIPT:
        files = kinds.script(entry, output, offline=offline)
    elif kind == CONTAINER:
        if offline:
            raise InputError(
                f"--offline does not apply to --as {CONTAINER}: an image installs its "
                "requirements when built"
            )
        files = kinds.container(entry, output, lock=lock)
    elif artifact is None:
        raise InputError(
            f"{what}: --as {MODEL} packages a trained model: give a folder written by "
            "`algoshelf train`"
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
