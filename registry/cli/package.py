"""``package NAME|MODEL``: package an algorithm or a trained model for SageMaker."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping

import click

from ...core.artifact.engines import MXNET, ONNX
from ...core.artifact.folder import Artifact
from ...core.artifact.metadata import METADATA
from ...core.runtime.errors import InputError
from ..discovery import Entry, catalog, opened
from .flags import PATH
from .output import json_option, print_json, say

if TYPE_CHECKING:
    from ...core.weights import Pretrained

SCRIPT, CONTAINER, MODEL, LAMBDA = "script", "container", "model", "lambda"


@click.command()
@click.argument("what", metavar="NAME|MODEL")
@click.option(
    "--output", type=PATH, metavar="DIR", required=True,
    help="Folder to write to; it must be new or empty.",
)  # fmt: skip
@click.option(
    "--as", "kind", type=click.Choice([SCRIPT, CONTAINER, MODEL, LAMBDA]), required=True,
    help="What to write. script: a source_dir for AWS's MXNet image. container: a Dockerfile and "
    "all that it copies, for an image of your own. model: model.tar.gz of MODEL with its code. "
    "lambda: a zip archive for AWS Lambda, which answers the events of API Gateway with MODEL.",
)  # fmt: skip
@click.option(
    "--engine", type=click.Choice([MXNET, ONNX]),
    help="What computes the answers. onnx: ONNX Runtime on Python 3.13, without mxnet; MODEL is "
    "exported on the way if it holds no model.onnx. [default: mxnet; of lambda, onnx]",
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
@click.option(
    "--weights", metavar="NAME",
    help="With --as script or container: include these pretrained weights, with which a training "
        "then begins; `algoshelf weights list` shows them.",
)  # fmt: skip
@json_option
def package(
    what: str,
    output: Path,
    kind: str,
    engine: str | None,
    offline: bool,
    lock: bool,
    weights: str | None,
    as_json: bool,
) -> None:
    """Package the algorithm NAME, or MODEL, a folder written by `algoshelf train`, for SageMaker.

    The same contents always give the same bytes; with --lock and --engine onnx they include the
    versions that pip finds on the day.

    Example: algoshelf package mnist-cnn --as script --output packed
    """
    from ..packaging import contents, kinds

    engine = engine or (ONNX if kind == LAMBDA else MXNET)
    if lock and kind != CONTAINER:
        raise InputError(f"--lock applies to an image of your own only: give --as {CONTAINER}")
    entry, artifact = _meant(what)
    pretrained = _pretrained(weights, entry, kind, engine)
    if (kind, engine) in ((SCRIPT, ONNX), (LAMBDA, MXNET)):
        raise InputError(
            f"--engine {engine} does not apply to --as {kind}: a script trains, which needs mxnet"
            if kind == SCRIPT
            else f"--engine {engine} does not apply to --as {kind}: mxnet is too large for AWS "
            "Lambda's archives"
        )
    if engine == ONNX:
        files = _answering(what, entry, artifact, kind, output, offline)
    elif kind == SCRIPT:
        files = kinds.script(entry, output, offline=offline, weights=pretrained)
    elif kind == CONTAINER:
        if offline:
            raise InputError(
                f"--offline does not apply to --as {CONTAINER}: an image installs its "
                "requirements when built"
            )
        files = kinds.container(entry, output, lock=lock, weights=pretrained)
    elif artifact is None:
        raise _no_model(what, f"--as {MODEL}")
    else:
        files = kinds.model(entry, artifact, output, offline=offline)
    size = sum(contents.size_of(content) for content in files.values())
    if as_json:
        print_json(
            {
                "algorithm": entry.algorithm.name,
                "as": kind,
                "engine": engine,
                "output": str(output),
                "bytes": size,
                "files": sorted(files),
            }
        )
        return
    click.echo(f"{entry.algorithm.name} is in {output}: {len(files)} files, {size:,} bytes. Next:")
    click.echo(_next(kind, engine, shlex.quote(str(output))))


def _answering(
    what: str, entry: Entry, artifact: Artifact | None, kind: str, output: Path, offline: bool
) -> Mapping[str, Any]:
    """Write a package that answers by ONNX Runtime; its files. Raises AlgoshelfError."""
    from ..packaging import answering

    if artifact is None:
        raise _no_model(what, f"--engine {ONNX}")
    if offline:
        raise InputError(
            f"--offline does not apply to --engine {ONNX}: an image installs its requirements "
            "when built, and a function of AWS Lambda holds them always"
        )
    write = {
        CONTAINER: answering.container, MODEL: answering.model, LAMBDA: answering.function
    }[kind]  # fmt: skip
    return write(entry, artifact, output)


def _pretrained(name: str | None, entry: Entry, kind: str, engine: str) -> Pretrained | None:
    """The weights ``name``, fetched if they are not here. Raises AlgoshelfError."""
    if name is None:
        return None
    if kind not in (SCRIPT, CONTAINER) or engine == ONNX:
        raise InputError(
            f"--weights: a training begins with them, and --as {kind} --engine {engine} only "
            "answers: leave it out"
        )
    from ..weights import choosing

    choosing.chosen(entry.algorithm, {choosing.WEIGHTS: name})
    return choosing.found(name, say)


def _no_model(what: str, option: str) -> InputError:
    return InputError(
        f"{what}: {option} packages a trained model: give a folder written by `algoshelf train`"
    )


def _meant(what: str) -> tuple[Entry, Artifact | None]:
    """The algorithm, and the artifact where ``what`` is one; a name goes before a folder."""
    if what not in catalog().names and (Path(what) / METADATA).is_file():
        artifact, algorithm = opened(Path(what))
        return catalog().get(algorithm.name), artifact
    if "/" in what:
        Artifact.open(Path(what))
    return catalog().get(what), None


def _next(kind: str, engine: str, output: str) -> str:
    """What is done with it, in a line or two."""
    if kind == SCRIPT:
        return (
            f'  sagemaker.mxnet.MXNet("entry_point.py", source_dir="{output}", '
            'framework_version="1.9.0", py_version="py38", …).fit(…)'
        )
    if kind == LAMBDA:
        return (
            f"  aws s3 cp {output}/function.zip s3://…\n"
            "  aws lambda create-function --function-name NAME --runtime python3.13 "
            "--architectures x86_64 --memory-size 1769 --timeout 30\n"
            "    --handler lambda_function.lambda_handler --code S3Bucket=…,S3Key=… --role …"
        )
    if kind == MODEL and engine == ONNX:
        return (
            f"  algoshelf sagemaker deploy {output}/model.tar.gz --image URI --instance "
            "ml.c7g.large …\n"
            "  (URI is the image that `algoshelf package MODEL --as container --engine onnx` "
            "prepares)"
        )
    if engine == ONNX:
        return (
            "  docker build -t NAME --build-arg BASE=python:3.13-slim-bookworm@sha256:… "
            f"{output}\n"
            "  docker run --rm -p 8080:8080 NAME  (the Dockerfile says how to find the digest)"
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
