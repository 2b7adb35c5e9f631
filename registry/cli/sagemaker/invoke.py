"""``sagemaker invoke NAME INPUT``: what ``predict`` is here, of an endpoint there."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Sequence

import click

from ....core import codecs
from ....core.artifact.metadata import Metadata
from ....core.data.reading import using
from ....core.data.walking import walk
from ....core.inference.handlers import decode
from ....core.runtime.errors import InputError, PayloadError, UnknownNameError
from ...aws import invoking
from ...aws.account import AwsError
from ...aws.invoking import Endpoint
from ...aws.settings import Settings
from ...discovery import AnyAlgorithm, catalog
from ..asking import (
    MAX_INPUT_BYTES,
    ONE_DOCUMENT,
    STDIN,
    Answer,
    accepted_answer,
    asked_of,
    asking_options,
    print_answers,
)
from ..flags import SectionedCommand, account_options, bucket_option
from ..output import say, write_answer
from ..reading import reading_options, taken
from .common import account
from .company import company_options


@click.command(cls=SectionedCommand)
@click.argument("name")
@asking_options
@click.option(
    "--async", "later", is_flag=True,
    help="The endpoint is asynchronous: each request goes through S3, and its answer is waited "
    "for.",
)  # fmt: skip
@click.option(
    "--target-model", metavar="KEY", default="",
    help="Which model of a multi-model endpoint answers, such as iris.tar.gz.",
)  # fmt: skip
@click.option(
    "--variant", metavar="VARIANT", default="",
    help="Which variant of the endpoint answers. [default: AWS chooses by weight]",
)  # fmt: skip
@company_options("invoke")
@reading_options
@bucket_option
@account_options
def invoke(
    name: str,
    inputs: tuple[str, ...],
    content_type: str | None,
    accept: str | None,
    later: bool,
    target_model: str,
    variant: str,
    settings: Settings,
    bucket_owner: str,
    region: str | None,
    profile: str | None,
    **given: str | None,
) -> None:
    """Print what the endpoint NAME answers to each INPUT, a file, a folder or - for stdin.

    Inputs are read as `algoshelf predict` reads them, and answers are printed as it prints them.
    What is more than one request may hold is sent in several. Without INPUT, the model answers
    the example request that it carries.

    Example: algoshelf sagemaker invoke digits image.png
    """
    reading = taken(given)
    files = _files(inputs)
    with account(region, profile, False, bucket_owner, settings) as acting:
        endpoint = invoking.found(acting, name, variant, target_model)
        _check_kind(endpoint, later, variant, target_model)
        algorithm, metadata = _known(endpoint)
        if algorithm is None or metadata is None:
            _ask_as_it_is(endpoint, files, content_type, accept)
            return
        kind = accepted_answer(algorithm, accept, files)
        decodes = codecs.PNG in algorithm.accepted_media_types()

        def ask(body: bytes, content_type: str) -> Answer:
            answer, examples = endpoint.ask(body, content_type, kind, say), None
            if decodes:
                with suppress(PayloadError):  # it was answered: whoever did knows better
                    examples = decode(algorithm, body, content_type)
            return Answer(answer, examples)

        with using(reading, say, metadata.headings):
            asked = asked_of(metadata, algorithm, files, content_type, lambda folder: "is empty")
            print_answers(algorithm, asked, ask)


def _files(inputs: Sequence[str]) -> list[str]:
    """The files of folders in place of these. Raises InputError for a folder without any."""
    found: list[str] = []
    for name in inputs:
        if name == STDIN or not Path(name).is_dir():
            found.append(name)
            continue
        inside = [str(path) for _, path in sorted(walk(Path(name)).files.items())]
        if not inside:
            raise InputError(f"{name}: holds no files")
        found += inside
    return found


def _check_kind(endpoint: Endpoint, later: bool, variant: str, target_model: str) -> None:
    if not endpoint.described:
        say(f"{endpoint.name}: the credentials may not look at it, so it is asked as it is.")
        return
    if later and not endpoint.is_async:
        raise InputError(f"--async: {endpoint.name} answers at once: leave --async out")
    if endpoint.is_async and not later:
        raise InputError(f"{endpoint.name}: is asynchronous, and answers through S3: give --async")
    if endpoint.is_async and (variant or target_model):
        raise InputError("--async: an asynchronous endpoint has one model: name none")


def _known(endpoint: Endpoint) -> tuple[AnyAlgorithm | None, Metadata | None]:
    """The algorithm that answers and its model's metadata; None, and why, where not known."""
    try:
        metadata = endpoint.metadata() if endpoint.described else None
    except AwsError as error:
        say(f"{endpoint.name}: what its model was trained on cannot be read: {error}")
        return None, None
    if metadata is None:
        return None, None
    try:
        return catalog().get(metadata.algorithm).algorithm, metadata
    except UnknownNameError:
        say(f"{metadata.algorithm}: is not installed here: INPUT is sent as it is.")
        return None, None


def _ask_as_it_is(
    endpoint: Endpoint, files: Sequence[str], content_type: str | None, accept: str | None
) -> None:
    """Send the bytes of each file, of which nothing is known but what ``content_type`` says."""
    if not files:
        raise InputError(f"{endpoint.name}: no model of algoshelf's is known there: give an INPUT")
    if len(files) > 1 and accept in ONE_DOCUMENT:
        raise InputError(f"--accept {accept} gives one document per INPUT: give a single INPUT")
    for name in files:
        kind = content_type or codecs.content_type_of(name)
        try:
            body = _bytes_of(name)
            write_answer(endpoint.ask(body, kind, accept or "", say))
        except PayloadError as error:
            raise type(error)(*(f"{name}: {fault}" for fault in error.faults)) from None


def _bytes_of(name: str) -> bytes:
    stream: Any
    if name == STDIN:
        with click.open_file(name, "rb") as stream:
            return bytes(stream.read())
    try:
        if Path(name).stat().st_size > MAX_INPUT_BYTES:
            raise InputError(f"{name}: larger than {MAX_INPUT_BYTES:,} bytes: divide it")
        return Path(name).read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from None
