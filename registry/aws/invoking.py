"""Ask an endpoint: what answers there, how much one request may hold, and its errors."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Sequence

from ...core import payload
from ...core.artifact.metadata import MAX_METADATA_BYTES, METADATA, Metadata
from ...core.data import recordio
from ...core.inference.places import moved
from ...core.inference.requests import STATUSES
from ...core.payload.joining import Joined
from ...core.runtime.errors import (
    ArtifactError,
    InputError,
    MalformedPayloadError,
    PayloadError,
    PayloadTooLargeError,
)
from . import components, data, removal, tags
from .account import Account, AwsError, explained
from .rollback import Report

# Bytes of a request: of an endpoint with instances, a serverless one, an asynchronous one.
MAX_BYTES, MAX_SERVERLESS_BYTES, MAX_ASYNC_BYTES = 6 * 2**20, 4 * 2**20, 2**30
ANSWERING = ("InService", "Updating", "SystemUpdating", "RollingBack")
# A model that AWS is only loading; throttling is retried by botocore.
LOADING, LOADING_TRIES, LOADING_SECONDS = "ModelNotReadyException", 6, 2.0
# AWS drops an asynchronous request that has waited for so long.
ASYNC_SECONDS, POLL_SECONDS = 3600, 2.0
FIRST_BYTES = 64 * 2**20  # of a model's archive, in which its metadata is looked for


@dataclass(frozen=True)
class Endpoint:
    """An endpoint that answers; ``algorithm`` is "" where its tags do not say.

    ``described`` is AWS's description, empty where the credentials may not look; ``variant`` and
    ``target_model`` are "" where AWS chooses, ``component`` where the endpoint has none.
    """

    account: Account
    name: str
    described: dict[str, Any]
    algorithm: str
    variant: str = ""
    target_model: str = ""
    component: str = ""

    @property
    def is_async(self) -> bool:
        return "AsyncInferenceConfig" in self.described

    @property
    def max_bytes(self) -> int:
        """What a request may hold."""
        if self.is_async:
            return MAX_ASYNC_BYTES
        variants = self.described.get("ProductionVariants", ())
        serverless = any(one.get("CurrentServerlessConfig") for one in variants)
        return MAX_SERVERLESS_BYTES if serverless else MAX_BYTES

    def metadata(self) -> Metadata | None:
        """Of the model that answers, read from the beginning of its archive in S3; None where that
        is not of algoshelf's. Raises AwsError.
        """
        uri = self._model_uri()
        if not uri:
            return None
        bucket, _, key = uri[len(data.SCHEME) :].partition("/")
        with explained():
            answer = self.account.client("s3").get_object(Bucket=bucket, Key=key)
            with answer["Body"] as body:
                return _metadata_in(body, uri)

    def _model_uri(self) -> str:
        """Where the archive lies of the model that answers, of several the first; "" if nowhere."""
        if self.component:
            found = components.described(self.account, self.component) or {}
            name = found.get("Specification", {}).get("ModelName", "")
        else:
            variants = _variants(self.account, self.described)
            named = [one for one in variants if self.variant in ("", one["VariantName"])]
            name = named[0].get("ModelName", "") if named else ""
        if not name:
            return ""
        model = removal.model(self.account, name) or {}
        container = model.get("PrimaryContainer") or {}
        if "ModelPackageName" in container:
            with explained():
                package = self.account.client("sagemaker").describe_model_package(
                    ModelPackageName=container["ModelPackageName"]
                )
            container = package["InferenceSpecification"]["Containers"][0]
        if container.get("Mode") == "MultiModel" and not self.target_model:
            raise InputError(
                f"{self.name}: holds several models: give --target-model, the name of its archive "
                "such as iris.tar.gz"
            )
        uri = str(container.get("ModelDataUrl", ""))
        return f"{uri.rstrip('/')}/{self.target_model}" if uri and self.target_model else uri

    def ask(self, body: bytes, kind: str, accept: str, report: Report) -> bytes:
        """The answer to ``body``, by as many requests as it takes. Raises AwsError,
        PayloadError.
        """
        send = self._send_later if self.is_async else self._send
        if len(body) <= self.max_bytes:
            return send(body, kind, accept, report)
        joined = Joined(accept)
        for part in divided(body, kind, self.max_bytes):
            try:
                answer = send(part.body, kind, accept, report)
            except PayloadError as error:
                faults = (moved(f, lines=part.lines, examples=part.first) for f in error.faults)
                raise type(error)(*faults) from None
            if not joined.add(answer, part.examples):
                raise PayloadTooLargeError(
                    f"has {len(body):,} bytes, a request may have {self.max_bytes:,}, and answers "
                    f"of {accept} to several requests cannot be joined: give smaller inputs, or "
                    f"--accept {payload.JSONLINES}"
                )
        return joined.body()

    def _where(self, kind: str, accept: str) -> dict[str, Any]:
        found = {"EndpointName": self.name, "ContentType": kind}
        return {**found, "Accept": accept} if accept else found

    def _send(self, body: bytes, kind: str, accept: str, report: Report) -> bytes:
        more = {
            "TargetModel": self.target_model,
            "TargetVariant": self.variant,
            "InferenceComponentName": self.component,
        }
        request = {**self._where(kind, accept), **{k: v for k, v in more.items() if v}}
        client = self.account.client("sagemaker-runtime")
        for number in range(1, LOADING_TRIES + 1):
            try:
                answer = client.invoke_endpoint(Body=body, **request)
                return bytes(answer["Body"].read())
            except Exception as error:
                response = getattr(error, "response", None) or {}  # none where nobody answered
                code = response.get("Error", {}).get("Code")
                if code == LOADING and number < LOADING_TRIES:
                    report(f"{self.name}: the model is being loaded; asking again")
                    time.sleep(LOADING_SECONDS * number)
                    continue
                raise self._told(error, code) from None
        raise AssertionError  # the last try raises

    def _told(self, error: Exception, code: str | None) -> Exception:
        """What a request's failure means; the sentence of algoshelf's own server as it stands."""
        if code == "ModelError":
            response: Any = getattr(error, "response", {})
            return self._of_model(
                int(response.get("OriginalStatusCode") or 500),
                str(response.get("OriginalMessage") or ""),
            )
        try:
            with explained():
                raise error
        except AwsError as told:
            return told
        except Exception as other:
            return other

    def _of_model(self, status: int, text: str) -> Exception:
        kinds = {kind.code: kind for kind in STATUSES if issubclass(kind, PayloadError)}
        try:
            fault = json.loads(text)["error"]
            code, faults = fault["code"], [str(each) for each in fault["faults"]]
        except (ValueError, LookupError, TypeError):
            code, faults = "", [text.strip()[:2000] or "it gives no reason"]
        if code in kinds and faults:
            return kinds[code](*faults)
        log = f"its log: aws logs tail /aws/sagemaker/Endpoints/{self.name}"
        reason = "; ".join(faults)
        return AwsError(f"{self.name}: the model failed ({status}): {reason}; {log}", "ModelError")

    def _send_later(self, body: bytes, kind: str, accept: str, report: Report) -> bytes:
        """As ``_send``, of an asynchronous endpoint: through S3."""
        with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
            path = Path(scratch, hashlib.sha256(body).hexdigest()[:16])
            path.write_bytes(body)
            place = data.upload(self.account, path, "requests")
        with explained():
            told = self.account.client("sagemaker-runtime").invoke_endpoint_async(
                InputLocation=place,
                RequestTTLSeconds=ASYNC_SECONDS,
                **self._where(kind, accept),
            )
        output, failure = told["OutputLocation"], told.get("FailureLocation", "")
        report(f"{self.name}: the request waits; its answer will be at {output}")
        deadline = time.monotonic() + ASYNC_SECONDS
        while time.monotonic() < deadline:
            answer = self._object(output)
            if answer is not None:
                return answer
            fault = self._object(failure) if failure else None
            if fault is not None:
                raise self._of_model(500, _sentence(fault.decode("utf-8", "replace")))
            time.sleep(POLL_SECONDS)
        raise AwsError(
            f"{self.name}: no answer within {ASYNC_SECONDS // 60} min: "
            f"`algoshelf sagemaker list` shows whether the endpoint runs; {output} may yet come"
        )

    def _object(self, uri: str) -> bytes | None:
        """What lies at ``uri``; None where nothing does yet."""
        bucket, _, key = uri[len(data.SCHEME) :].partition("/")
        try:
            with explained():
                answer = self.account.client("s3").get_object(Bucket=bucket, Key=key)
                return bytes(answer["Body"].read())
        except AwsError as error:
            if error.aws_code in ("NoSuchKey", "404"):
                return None
            raise


def found(account: Account, name: str, variant: str, target_model: str) -> Endpoint:
    """The endpoint ``name``. Raises InputError where it is not there or cannot answer, AwsError.

    Where the credentials may not look at it, it is asked all the same.
    """
    try:
        described = removal.endpoint(account, name)
    except AwsError as error:
        if not error.aws_code.startswith("AccessDenied"):
            raise
        return Endpoint(account, name, {}, "", variant, target_model)
    if described is None:
        raise InputError(
            f"{name}: there is no such endpoint in {account.region}; "
            "`algoshelf sagemaker list --all` shows what there is"
        )
    status = described["EndpointStatus"]
    if status not in ANSWERING:
        reason = described.get("FailureReason")
        raise InputError(
            f"{name}: is {status}, and answers when it is InService" + f": {reason}" * bool(reason)
        )
    labels = tags.of(account, described["EndpointArn"])
    algorithm = labels.get(tags.ALGORITHM, "")
    if "+" in algorithm:  # of several models
        algorithm = ""
    if not any("ModelName" in one for one in _variants(account, described)):
        held = [each["InferenceComponentName"] for each in _components(account, name)]
        if held:
            component = _component(name, held, variant)
            return Endpoint(account, name, described, algorithm, "", target_model, component)
    names = [one["VariantName"] for one in described.get("ProductionVariants", ())]
    if variant and names and variant not in names:
        raise InputError(f"--variant: {name} has no {variant!r}; there are {', '.join(names)}")
    return Endpoint(account, name, described, algorithm, variant, target_model)


def _variants(account: Account, described: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of the configuration that the endpoint has."""
    configuration = removal.configuration(account, str(described["EndpointConfigName"]))
    return list((configuration or {}).get("ProductionVariants", ()))


def _components(account: Account, name: str) -> list[dict[str, Any]]:
    return list(components.listed(account, EndpointNameEquals=name))


def _component(name: str, held: Sequence[str], variant: str) -> str:
    """The component that is asked for by its name or the end of it. Raises InputError."""
    chosen = [each for each in held if each == variant or each.endswith(f"-{variant}")]
    if not variant and len(held) == 1:
        chosen = list(held)
    if len(chosen) != 1:
        raise InputError(
            f"--variant: {name} holds the components {', '.join(held)}: name the one that is to "
            "answer"
        )
    return chosen[0]


class Part(NamedTuple):
    """A part of a request: ``examples`` of it, before which stand ``first``, and so many lines."""

    body: bytes
    examples: int
    first: int
    lines: int


def divided(body: bytes, kind: str, most: int) -> Iterator[Part]:
    """``body`` in parts of whole examples and of at most ``most`` bytes.

    Raises PayloadTooLargeError where it cannot be divided so.
    """
    media = payload.media_type(kind)
    first = 0
    for start, stop, lines, content in _groups(body, media, most):
        yield Part(content, stop - start, first, lines)
        first += stop - start


def _groups(body: bytes, media: str, most: int) -> Iterator[tuple[int, int, int, bytes]]:
    """First example and last, the lines before, and the body of each part."""
    if media == payload.NPY:
        yield from _arrays(body, most)
        return
    if media == payload.JSON:
        pieces = [payload.encode_json(each) for each in _instances(body)]
        around, between = (b'{"instances":[', b"]}"), b","
    elif media == payload.RECORDIO_PROTOBUF:
        bodies = recordio.read_bodies(io.BytesIO(body), MalformedPayloadError)
        pieces, around, between = [recordio.frame(each) for each in bodies], (b"", b""), b""
    else:
        pieces, around, between = _records(body, media), (b"", b""), b""
    if not pieces:
        raise PayloadTooLargeError(
            f"has {len(body):,} bytes, a request may have {most:,}, and {media} cannot be divided"
        )
    room = most - sum(map(len, around))
    start, size, lines = 0, 0, 0
    for number, piece in enumerate(pieces):
        length = len(piece) + len(between)
        if length > room:
            raise PayloadTooLargeError(
                f"example {number + 1} has {len(piece):,} bytes, a request may have {most:,}"
            )
        if size + length > room:
            content = between.join(pieces[start:number])
            yield start, number, lines, content.join(around)
            lines += content.count(b"\n")
            start, size = number, 0
        size += length
    yield start, len(pieces), lines, between.join(pieces[start:]).join(around)


def _records(body: bytes, media: str) -> list[bytes]:
    """The lines of each record: a cell of CSV may hold line ends. None for what has no lines."""
    starts = payload.lines_of_records(body, media)
    lines = body.splitlines(keepends=True) if b"\n" not in body else _lines(body)
    ends = [*(start - 1 for start in starts[1:]), len(lines)]
    return [b"".join(lines[start - 1 : end]) for start, end in zip(starts, ends)]


def _lines(body: bytes) -> list[bytes]:
    lines = body.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + [line for line in lines[-1:] if line]


def _instances(body: bytes) -> Sequence[Any]:
    """The examples of a JSON body that is a list, or has them in ``instances`` alone."""
    try:
        found = json.loads(body)
    except ValueError as error:
        raise MalformedPayloadError(f"is no JSON: {error}") from None
    if isinstance(found, dict) and list(found) == ["instances"]:
        found = found["instances"]
    return found if isinstance(found, list) else []


def _arrays(body: bytes, most: int) -> Iterator[tuple[int, int, int, bytes]]:
    import numpy as np

    try:
        array = np.load(io.BytesIO(body), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise MalformedPayloadError(f"is no npy: {error}") from None
    each = array.nbytes // max(1, len(array)) if array.ndim else most
    step = (most - payload.MAX_NPY_HEAD) // max(1, each)
    if step < 1:
        raise PayloadTooLargeError(f"one example has {each:,} bytes, a request may have {most:,}")
    for start in range(0, len(array), step):
        part = array[start : start + step]
        yield start, start + len(part), 0, payload.encode_npy(part)


def _metadata_in(stream: Any, uri: str) -> Metadata | None:
    """The metadata in an archive, of which no more is read than up to there; algoshelf's own
    archives begin with it.
    """
    try:
        with tarfile.open(fileobj=_Beginning(stream), mode="r|gz") as archive:
            for member in archive:
                if member.name in (METADATA, f"./{METADATA}") and member.isfile():
                    file = archive.extractfile(member)
                    if member.size > MAX_METADATA_BYTES or file is None:
                        return None
                    return Metadata.model_validate_json(file.read())
    except (tarfile.TarError, EOFError, OSError, zlib.error):
        return None
    except ValueError as error:
        raise ArtifactError(f"{uri}: its {METADATA} cannot be read: {error}") from None
    return None


class _Beginning(io.RawIOBase):
    """The first FIRST_BYTES of a stream."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.left = stream, FIRST_BYTES

    def read(self, size: int = -1) -> bytes:
        content = bytes(self.stream.read(min(size, self.left) if size >= 0 else self.left))
        self.left -= len(content)
        return content


def _sentence(text: str) -> str:
    """What algoshelf's server said, in what AWS writes of a failure; all of it where nothing is."""
    start, end = text.find('{"error"'), text.rfind("}") + 1
    return text[start:end] if 0 <= start < end else text
