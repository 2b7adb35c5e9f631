"""Input manifests of SageMaker Ground Truth: requests of which labels would tell the most.

A text or a row is the line's ``source``, a picture an object in S3, its ``source-ref``. Beside it
``algoshelf`` says what the model answered; a labelling job hands that through. Source: "Input data"
in the developer guide of SageMaker, https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-input.html
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import numpy as np

from ...core import codecs
from ...core.drift.asked import Question, confidence_of, label_of, media_of
from ...core.drift.pictures import pixels_of
from ...core.runtime.errors import DataError, InputError
from ..files import write_text
from ..web import corrections
from ..web.corrections import CorrectionError

SOURCE, REFERENCE, OWN = "source", "source-ref", "algoshelf"
SUFFIXES = {codecs.PNG: ".png", codecs.JPEG: ".jpg"}


def write(
    path: Path,
    questions: Sequence[Question],
    most: int,
    upload: Callable[[dict[str, bytes]], str] | None,
) -> int:
    """Write the first ``most`` different ``questions`` to ``path``; how many there are.

    ``upload`` puts pictures, by name, to S3, and gives the URI of the folder they are in. Raises
    InputError for pictures without it.
    """
    lines: list[dict[str, Any]] = []
    pictures: dict[str, bytes] = {}
    seen: set[str] = set()
    for question in questions:
        if len(lines) == most:
            break
        if _is_picture(question.example):
            name, content = _picture(question)
            pictures[name] = content
            line = {REFERENCE: name}
        else:
            line = {SOURCE: _text(question.example)}
        key = next(iter(line.values()))
        if key not in seen:
            seen.add(key)
            lines.append({**line, OWN: dict(_own(question))})
    if pictures:
        if upload is None:
            raise InputError(
                "--manifest: Ground Truth reads pictures from S3: give --pictures s3://BUCKET/"
                "PREFIX, where they are put"
            )
        wanted = {line[REFERENCE] for line in lines}
        folder = upload({name: body for name, body in pictures.items() if name in wanted})
        for line in lines:
            line[REFERENCE] = f"{folder.rstrip('/')}/{line[REFERENCE]}"
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
    return len(lines)


def corrected(path: Path) -> list[Question]:
    """The texts that people corrected in the review app. Raises InputError."""
    try:
        found = list(corrections.read(path))
    except CorrectionError as error:
        raise DataError(*error.faults) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if not found:
        raise DataError(f"{path}: holds no corrections")
    return [
        Question(each["text"], each["answer"], None, str(path), each["label"]) for each in found
    ]


def _is_picture(example: Any) -> bool:
    return getattr(pixels_of(example), "ndim", 0) > 1


def _text(example: Any) -> str:
    if isinstance(example, str):
        return example
    if isinstance(example, np.ndarray):
        return ",".join(f"{value:.9g}" for value in example.tolist())
    if hasattr(example, "_asdict"):
        example = {key: value for key, value in example._asdict().items() if value}
    return json.dumps(example, default=str)


def _own(question: Question) -> Iterator[tuple[str, Any]]:
    label, confidence = label_of(question.answer), confidence_of(question.answer)
    if label is not None:
        yield "answer", label
    if confidence is not None:
        yield "probability", confidence
    if question.event is not None and question.event.ids:
        yield "event", question.event.ids[-1]
    if question.correction is not None:
        yield "correction", question.correction


def _picture(question: Question) -> tuple[str, bytes]:
    """A name and the file: as it was sent, or else as PNG."""
    from PIL import Image

    event = question.event
    suffix = SUFFIXES.get(media_of(event), "") if event is not None else ""
    if event is not None and suffix:
        body = event.body
    else:
        array = np.asarray(pixels_of(question.example))
        if array.shape[0] in (1, 3) and array.ndim == 3 and array.shape[2] not in (1, 3):
            array = array.transpose(1, 2, 0)
        if array.dtype.kind == "f":
            array = (array * 255 if array.max() <= 1 else array).round()
        if array.ndim == 3 and array.shape[2] == 1:
            array = array[:, :, 0]
        stream = io.BytesIO()
        Image.fromarray(array.clip(0, 255).astype(np.uint8)).save(stream, "PNG")
        body, suffix = stream.getvalue(), ".png"
    return hashlib.sha256(body).hexdigest()[:32] + suffix, body
