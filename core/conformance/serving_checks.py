"""Conformance checks of predictions: content types, batches, and requests that must be refused."""

from __future__ import annotations

import io
from functools import partial
from typing import Any, Callable, Dict, Iterator, Mapping

import numpy as np

from .. import payload
from ..artifact import export
from ..artifact.engines import MXNET
from ..artifact.metadata import ONNX
from ..data import protobuf as recordio_protobuf
from ..inference.answers import (
    ABRIDGED,
    RECORDS,
    TEXT,
    example_inputs,
    excerpt,
    is_close,
    parsed_rows,
    preferred_type,
    size_of,
)
from ..inference.handlers import Handlers
from ..runtime import mx
from ..runtime.errors import (
    ExportError,
    NotAcceptableError,
    PayloadError,
    UnsupportedContentTypeError,
)
from ..runtime.types import Array
from .battery import RAISED, Battery, Fault, Skip, check

PICTURE_SIDE = 40  # pixels
UNKNOWN = "application/x-no-such-type"
BATCH = 7
ODD = (
    *("null", "{}", "[]", "[null]", "[[]]", "[{}]", '["x"]', "[[1]]", "[1e999]", "NaN"),
    *("a,b\n1,2", '{"instances": 3}', '{"instances": [{"x": 1}]}', "[" * 5000),
)
Requests = Dict[str, bytes]


def records_of(body: bytes, content_type: str) -> Array | list[Any] | None:
    """The examples of a body that codecs reads: an array, else a list; None for other types."""
    for decode in (payload.decode_array, payload.decode_records):
        try:
            found: Any = decode(body, content_type)
        except PayloadError:
            continue
        return found  # type: ignore[no-any-return]
    return None


# How an array of examples (N, …) is written.
OF_ARRAYS: Mapping[str, Callable[[Any], bytes]] = {
    payload.NPY: payload.encode_npy,
    payload.JSON: lambda rows: payload.encode_json({"instances": rows}),
    payload.JSONLINES: payload.encode_jsonlines,
    payload.CSV: lambda rows: payload.encode_csv(rows.reshape(len(rows), -1)),
    payload.RECORDIO_PROTOBUF: recordio_protobuf.encode_rows,
}
# How a list of examples is written; in a type of lines, examples that are a text of one line.
OF_LISTS: Mapping[str, Callable[[Any], bytes]] = {
    payload.JSON: OF_ARRAYS[payload.JSON],
    payload.JSONLINES: payload.encode_jsonlines,
}
OF_TEXTS: Mapping[str, Callable[[Any], bytes]] = {
    payload.CSV: payload.encode_csv,
    TEXT: lambda texts: "".join(f"{text}\n" for text in texts).encode(),
}


def body_of(records: Any, content_type: str) -> bytes | None:
    """``records`` as a body; None where the type has no form for them."""
    if isinstance(records, np.ndarray):
        writer = OF_ARRAYS.get(content_type)
    else:
        plain = all(isinstance(text, str) and len(text.splitlines()) == 1 for text in records)
        writer = OF_LISTS.get(content_type) or (OF_TEXTS.get(content_type) if plain else None)
    return None if writer is None else writer(records)


def requests(battery: Battery) -> tuple[Requests, Requests]:
    """By content type: bodies with the artifact's own example, and bodies with something else."""
    own = battery.model.metadata.example
    same: Requests = {own.content_type: own.body.encode()}
    records = records_of(same[own.content_type], own.content_type)
    if records is None and own.content_type == TEXT:
        records = own.body.splitlines()
    other: Requests = {}
    for content_type in battery.cls.accepts:
        name = content_type.name
        body = None if records is None else body_of(records, name)
        if name not in same and body is not None:
            same[name] = body
        if name in (payload.PNG, payload.JPEG, payload.WEBP):
            other[name] = _picture(name)
        elif content_type.example and ABRIDGED not in content_type.example:
            other[name] = content_type.example.encode()
    return same, other


def _picture(content_type: str) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    ramp = np.arange(PICTURE_SIDE**2, dtype=np.uint32).reshape(PICTURE_SIDE, PICTURE_SIDE)
    pixels = np.stack([ramp % 256, ramp // 7 % 256, ramp // 16], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(stream, content_type.rpartition("/")[2])
    return stream.getvalue()


@check("content-types-out", otherwise="let input_fn read every content type in accepts")
def content_types_in(battery: Battery) -> Iterator[Fault]:
    """A request of every content type in ``accepts`` is answered, with the same answer for the
    same example.
    """
    accept = preferred_type(battery.cls.response_media_types())
    same, other = requests(battery)
    own = battery.model.metadata.example.content_type
    expected = parsed_rows(battery.handlers.invoke(same[own], own, accept), accept)
    for content_type in battery.cls.accepted_media_types():
        if content_type not in same and content_type not in other:
            yield Fault(
                f"the check could not construct a request of {content_type}",
                f"give ContentType({content_type!r}, …, example=…) a complete request, without "
                f"{ABRIDGED!r}",
            )
        for body, alike in ((same.get(content_type), True), (other.get(content_type), False)):
            if body is None:
                continue
            try:
                answer = parsed_rows(battery.handlers.invoke(body, content_type, accept), accept)
            except RAISED as error:
                yield Fault(
                    f"a request of {content_type} raises {battery.shown(error)}: {excerpt(body)}",
                    f"read {content_type} in input_fn, or remove it from accepts",
                )
                continue
            if alike and not is_close(answer, expected):
                yield Fault(
                    f"the artifact's example as {content_type} gets a different answer than as "
                    f"{own}: {excerpt(answer)}, not {excerpt(expected)}",
                    "let input_fn return the same examples for every content type",
                )


@check("example", otherwise="let output_fn write every content type in answers")
def content_types_out(battery: Battery) -> Iterator[Fault]:
    """A response in every content type in ``response_types`` is well formed, with one answer per
    example.
    """
    bodies = battery.handlers.example_responses()
    counts: dict[str, int] = {}
    for name, body in bodies.items():
        if name not in RECORDS:
            continue  # in a form of its own
        try:
            counts[name] = len(parsed_rows(body, name))
        except (ValueError, PayloadError) as error:
            yield Fault(
                f"the response in {name} is malformed: {error}: {excerpt(body)}",
                "write it with the functions of algoshelf.core.payload",
            )
    if len(set(counts.values())) > 1:
        held = ", ".join(f"{count} in {name}" for name, count in counts.items())
        yield Fault(
            f"the number of answers to one request depends on the content type: {held}",
            "write one answer for each example, in their order",
        )
    any_type = battery.handlers.example_response("*/*")
    if any_type != bodies[battery.cls.response_media_types()[0]]:
        yield Fault(
            "the response to Accept: */* is not in the first content type of response_types",
            "choose the type with payload.negotiate(accept, self.response_media_types())",
        )


@check("content-types-out", otherwise="let predict_fn take a batch of examples")
def batches(battery: Battery) -> Iterator[Fault]:
    """A batch gets the same answers, in the same order, as its examples one by one."""
    same, _ = requests(battery)
    content_type = next((name for name in RECORDS if name in same), "")
    records = records_of(same[content_type], content_type) if content_type else None
    accept = preferred_type(battery.cls.response_media_types())
    if records is None or accept not in RECORDS:
        return  # a picture a request has no batches, a form of its own cannot be told apart
    singles: list[tuple[Any, Any]] = []
    for one in _variants(records):
        body = body_of(one, content_type)
        if body is None:
            continue
        try:
            (answer,) = parsed_rows(battery.handlers.invoke(body, content_type, accept), accept)
        except PayloadError:
            continue  # this variant is no example of its kind
        singles.append((one, answer))
    singles = [singles[i % len(singles)] for i in range(BATCH)] if singles else []
    body = body_of(_joined([one for one, _ in singles]), content_type) if singles else None
    if body is None:
        return
    answers = parsed_rows(battery.handlers.invoke(body, content_type, accept), accept)
    expected = [answer for _, answer in singles]
    if len(answers) != len(expected):
        yield Fault(
            f"{len(expected)} examples in one request get {len(answers)} answers",
            "return one answer for every example of a batch",
        )
    elif not is_close(answers, expected):
        largest = size_of(expected)
        wrong = next(i for i in range(BATCH) if not is_close(answers[i], expected[i], largest))
        yield Fault(
            f"example {wrong + 1} of {BATCH} gets the answer {excerpt(answers[wrong])} in a "
            f"batch, but {excerpt(expected[wrong])} alone",
            "make predict_fn independent of the other examples of the batch: their mean, their "
            "longest, their order",
        )


def _variants(records: Any) -> Iterator[Any]:
    """Batches of one: the first example, and others made from it."""
    first = records[:1]
    if isinstance(first, np.ndarray):
        yield from (first, first // 2, np.zeros_like(first), first[..., ::-1])
        return
    for change in (
        lambda text: text,
        lambda text: text[: len(text) // 2],
        lambda text: " ".join(text.split()[::-1]),
        lambda text: f"{text} {text}",
    ):
        yield [_changed(first[0], change)]


def _changed(record: Any, change: Callable[[str], str]) -> Any:
    if isinstance(record, str):
        return change(record)
    if isinstance(record, list):
        return [_changed(item, change) for item in record]
    if isinstance(record, dict):
        return {key: _changed(item, change) for key, item in record.items()}
    return record


def _joined(batches: list[Any]) -> Any:
    if isinstance(batches[0], np.ndarray):
        return np.concatenate(batches)
    return [record for batch in batches for record in batch]


# What is to be refused


@check("content-types-out", otherwise="raise PayloadError for a request that cannot be answered")
def refused_requests(battery: Battery) -> Iterator[Fault]:
    """Any request body is either answered or refused with a PayloadError."""
    accept = battery.cls.response_media_types()[0]
    same, other = requests(battery)
    for content_type in battery.cls.accepted_media_types():
        for what, body in _bodies(same.get(content_type, other.get(content_type)), content_type):
            try:
                answer = battery.handlers.invoke(body, content_type, accept)
                if accept in RECORDS:
                    parsed_rows(answer, accept)
            except PayloadError as error:
                if not str(error).strip():
                    yield Fault(
                        f"{content_type}: {what} is refused without a message",
                        "say in the message what is wrong, where, and what was expected",
                    )
            except RAISED as error:
                yield Fault(
                    f"{content_type}: {what} raises {battery.shown(error)}",
                    "raise MalformedPayloadError if the body cannot be parsed, and "
                    "UnfitPayloadError if it can but cannot be answered, as "
                    "payload.decode_array, decode_records and decode_image do",
                )


def _bodies(good: bytes | None, content_type: str) -> Iterator[tuple[str, bytes]]:
    """Bodies that no one should send, each with what it is; some made from a ``good`` one."""
    rng = np.random.default_rng(0)
    yield "an empty body", b""
    for size in (1, 16, 1000, 20_000):
        yield f"{size} random bytes", rng.bytes(size)
    yield "a body of zeros", bytes(100)
    for text in ODD:
        yield repr(text[:20]), text.encode()
    if good is None:
        return
    middle = len(good) // 2
    yield "half of a request", good[:middle]
    yield "a request with its middle spoilt", good[:middle] + b"\xff\x00" + good[middle:]
    records = records_of(good, content_type) if content_type in RECORDS else None
    if isinstance(records, np.ndarray):
        for what, array in (
            ("numbers near float32's limit", np.full_like(records, 3e38, dtype=np.float32)),
            ("negative numbers", -np.abs(records) - 1),
            ("examples that are too short", records.reshape(len(records), -1)[:, :-1]),
        ):
            body = body_of(array, content_type) if array.size else None
            if body is not None:
                yield what, body


@check(
    "example",
    otherwise="raise UnsupportedContentTypeError or NotAcceptableError from algoshelf.core",
)
def refused_content_types(battery: Battery) -> Iterator[Fault]:
    """An undeclared content type is refused; parameters and capital letters in a declared one are
    accepted.
    """
    own = battery.model.metadata.example
    body, first = own.body.encode(), battery.cls.response_media_types()[0]
    check_type = (
        "call payload.check_content_type(request_content_type, "
        "self.accepted_media_types()) first in input_fn"
    )
    for content_type in (UNKNOWN, "", f"{own.content_type}x"):
        yield from _refused(
            battery,
            UnsupportedContentTypeError,
            f"a request of the content type {content_type!r}",
            check_type,
            partial(battery.handlers.invoke, body, content_type, first),
        )
    yield from _refused(
        battery,
        NotAcceptableError,
        f"Accept: {UNKNOWN}",
        "choose the type with payload.negotiate(accept, self.response_media_types())",
        partial(battery.handlers.invoke, body, own.content_type, UNKNOWN),
    )
    for content_type in (f"{own.content_type}; charset=utf-8", own.content_type.upper()):
        try:
            battery.handlers.invoke(body, content_type, first)
        except RAISED as error:
            yield Fault(
                f"a request of the content type {content_type!r} raises {battery.shown(error)}",
                check_type,
            )


def _refused(
    battery: Battery, kind: type[Exception], what: str, change: str, act: Callable[[], Any]
) -> Iterator[Fault]:
    try:
        act()
    except kind:
        return
    except RAISED as error:
        yield Fault(f"{what} raises {battery.shown(error)} instead of {kind.__name__}", change)
    else:
        yield Fault(f"{what} is answered instead of refused", change)


@check(
    "example",
    otherwise="use operators that `algoshelf export` can write: see docs/extending.md, ONNX",
)
def onnx(battery: Battery) -> Iterator[Fault]:
    """The network can be exported to ONNX, and onnxruntime gives the same answers as mxnet."""
    lacking = export.missing()
    if lacking:
        raise Skip(lacking)
    if not mx.is_installed():
        raise Skip(f"the export needs mxnet, which is not installed: check with {mx.PYTHONS}")
    handlers = Handlers.load(battery.algorithm, battery.trained, engine=MXNET)
    inputs = example_inputs(handlers)
    target = battery.folder / ONNX
    try:
        export.export(battery.artifact, handlers.model, inputs, target)
    except ExportError as error:
        for line in str(error).splitlines():
            yield Fault(line, "use operators that can be written as ONNX")
