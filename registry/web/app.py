"""The handler that AWS Lambda calls with each request to the review app.

    GET  /             the page, and below /page/ what it is made of
    POST /ask          {"text": …}                          -> {"answer": …, "model": …}
    POST /corrections  {"text": …, "label": …, "answer": …, "consent": true}  -> {"id": …}

Every error is JSON, as of `algoshelf serve`: {"error": {"code": …, "message": …, "faults": […]}}.
It depends on the standard library, and on the client of boto3 that it is given. Texts are not
logged.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import logging
import os
import time
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple

from ...core.container import events
from ...core.container.events import Asked, MalformedEventError
from . import corrections
from .corrections import CorrectionError

log = logging.getLogger(__name__)

ENDPOINT, BUCKET, PASSWORD = "ALGOSHELF_ENDPOINT", "ALGOSHELF_BUCKET", "ALGOSHELF_PASSWORD"
SITE = "site"  # the folder of the page's files in a function
INDEX, HEADERS = "index.html", "headers.json"
JSON = "application/json"
MAX_BODY_BYTES = 2**19  # of the longest text in escapes, with an answer
# botocore's settings: AWS is asked twice at most, within API Gateway's 30 seconds.
CLIENT: Mapping[str, Any] = {
    "connect_timeout": 2,
    "read_timeout": 12,
    "retries": {"mode": "standard", "total_max_attempts": 2},
}
ROUNDS = 200_000  # of PBKDF2, for a password that is seldom looked at
SECURITY = {"x-content-type-options": "nosniff", "cache-control": "no-store"}

Ask = Callable[[bytes], bytes]  # the model: JSON to JSON. Raises RefusedError.
Keep = Callable[[Mapping[str, Any]], None]


class RefusedError(Exception):
    """A request that is not answered, with its status, its code and what is wrong."""

    def __init__(self, status: int, code: str, *faults: str, **headers: str) -> None:
        super().__init__("; ".join(faults))
        self.status, self.code, self.faults, self.headers = status, code, faults, headers


class Answer(NamedTuple):
    """A status, headers and a body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class App:
    """A page, a model, and where corrections are kept; called with an event of API Gateway.

    ``site`` has the files of ``site.files``. ``password`` is what ``digest`` gave, or empty: then
    anybody may ask. It may be called by several threads.
    """

    def __init__(
        self, site: Mapping[str, bytes], model: str, ask: Ask, keep: Keep, password: str = ""
    ) -> None:
        told: dict[str, dict[str, str]] = json.loads(site[HEADERS])
        self._page = {
            "/" if name == INDEX else f"/{name}": Answer(200, headers, site[name])
            for name, headers in told.items()
        }
        self._model, self._ask, self._keep, self._password = model, ask, keep, password
        self._posts = {"/ask": self._verdict, "/corrections": self._correction}

    def __call__(self, event: Any, context: Any = None) -> dict[str, Any]:
        """The answer to an event of either payload format, as Lambda passes it on."""
        start = time.monotonic()
        where = "malformed event"
        try:
            asked = events.asked(event)
            where = f"{asked.method[:20]} {asked.path[:80]!r}"
            answer = self._answer(asked)
        except MalformedEventError as error:
            answer = _error(RefusedError(400, "malformed_event", *error.faults))
        except CorrectionError as error:
            answer = _error(RefusedError(400, "malformed_body", *error.faults))
        except RefusedError as error:
            answer = _error(error)
        except Exception:
            log.exception("%s: failed", where)
            answer = _error(RefusedError(500, "internal_error", "the app failed; its log says why"))
        log.info("%s: %d in %.0f ms", where, answer.status, 1000 * (time.monotonic() - start))
        return events.answered(answer.status, answer.headers, answer.body, is_text=True)

    def _answer(self, asked: Asked) -> Answer:
        if asked.path in self._posts:
            if asked.method != "POST":
                raise RefusedError(405, "method_not_allowed", "expected POST", allow="POST")
            self._check_password(asked)
            return _told(self._posts[asked.path](_body(asked)))
        file = self._page.get(asked.path)
        if file is None:
            raise RefusedError(404, "no_such_path", "there is a page at /")
        if asked.method not in ("GET", "HEAD"):
            raise RefusedError(405, "method_not_allowed", "expected GET", allow="GET, HEAD")
        if file.headers["etag"] in asked.headers.get("if-none-match", ""):
            return Answer(304, file.headers, b"")
        return file

    def _verdict(self, given: Any) -> Any:
        """What the model says of a text."""
        faults = corrections.text_faults(given)
        if faults:
            raise RefusedError(400, "malformed_body", *faults)
        body = json.dumps({"instances": [given["text"]]}).encode()
        answer = self._ask(body)
        try:
            found = json.loads(answer)
            [first] = found["predictions"] if isinstance(found, dict) else found
        except (ValueError, RecursionError, KeyError, TypeError):
            log.error("the model answered %d bytes that are no answer to one text", len(answer))
            raise RefusedError(
                502, "malformed_answer", "the model answered what is no answer"
            ) from None
        return {"answer": first, "model": self._model}

    def _correction(self, given: Any) -> Any:
        """Keep a correction."""
        correction = corrections.accepted(given, self._model)
        try:
            self._keep(correction)
        except Exception:
            log.exception("a correction could not be kept")
            raise RefusedError(
                503, "not_kept", "the correction could not be kept; try again in a moment"
            ) from None
        return {"id": correction["id"]}

    def _check_password(self, asked: Asked) -> None:
        if not self._password:
            return
        scheme, _, given = asked.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not _knows(given.strip(), self._password):
            raise RefusedError(
                401, "unauthorized", "a password is needed", **{"www-authenticate": "Bearer"}
            )


class Endpoint:
    """The model of an endpoint, asked through ``client``, boto3's for ``sagemaker-runtime``."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name

    def __call__(self, body: bytes) -> bytes:
        try:
            response = self._client.invoke_endpoint(
                EndpointName=self._name, ContentType=JSON, Accept=JSON, Body=body
            )
            answer: bytes = response["Body"].read()
            return answer
        except Exception as error:
            log.error("the endpoint %s: %s", self._name, error)
            raise self._refusal(error) from None

    def _refusal(self, error: Exception) -> RefusedError:
        """Why there is no answer, for whoever asked; botocore is not needed to tell."""
        response = getattr(error, "response", None) or {}
        code = response.get("Error", {}).get("Code", "")
        if code == "ModelError":
            return _of_model(response.get("OriginalStatusCode", 0), response.get("OriginalMessage"))
        if code in ("ValidationError", "ValidationException"):  # what AWS says of an absent one
            return RefusedError(
                503, "model_absent", "The model is not there now: its endpoint was deleted, or is "
                "not in service yet. Whoever runs this page can tell.",
            )  # fmt: skip
        return RefusedError(
            503, "model_silent", "The model does not answer. Try again in a moment; if it still "
            "does not then, whoever runs this page can tell why.",
        )  # fmt: skip


class Local:
    """A model in the function itself: ``core.container.api_gateway.Function``."""

    def __init__(self, function: Callable[[Any], dict[str, Any]]) -> None:
        self._function = function

    def __call__(self, body: bytes) -> bytes:
        answer = self._function(
            {
                "version": "2.0",
                "headers": {"content-type": JSON, "accept": JSON},
                "requestContext": {"http": {"method": "POST"}},
                "body": body.decode(),
            }
        )
        if answer["statusCode"] != 200:
            raise _of_model(answer["statusCode"], answer["body"])
        found: str = answer["body"]
        return base64.b64decode(found) if answer["isBase64Encoded"] else found.encode()


class Bucket:
    """Keeps corrections in S3, through boto3's ``client`` for it."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name

    def __call__(self, correction: Mapping[str, Any]) -> None:
        self._client.put_object(
            Bucket=self._name, Key=corrections.key(correction), Body=corrections.line(correction),
            ContentType="application/jsonlines",
        )  # fmt: skip


def deployed(client: Callable[..., Any], config: Any, folder: Path, function: Any = None) -> App:
    """The app of a function of AWS Lambda, whose files lie in ``folder``; the environment says
    which endpoint and bucket are its own.

    ``client`` and ``config`` are boto3's and botocore's; ``function`` is a model in it, in the
    place of an endpoint.
    """
    logging.getLogger().setLevel(logging.INFO)
    root = folder / SITE
    site = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }
    settings = config(**CLIENT)
    name = os.environ[ENDPOINT]
    ask: Ask = (
        Local(function)
        if function
        else Endpoint(client("sagemaker-runtime", config=settings), name)
    )
    keep = Bucket(client("s3", config=settings), os.environ[BUCKET])
    return App(site, name, ask, keep, os.environ.get(PASSWORD, ""))


def digest(password: str, salt: bytes) -> str:
    """What of a password may be written down; ``salt`` are random bytes."""
    made = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ROUNDS)
    return f"{salt.hex()}:{made.hex()}"


@functools.lru_cache(maxsize=64)
def _knows(given: str, expected: str) -> bool:
    salt = bytes.fromhex(expected.partition(":")[0])
    try:
        return hmac.compare_digest(digest(given, salt), expected)
    except UnicodeEncodeError:
        return False


def _body(asked: Asked) -> Any:
    """The JSON that was sent. Raises RefusedError."""
    kind = asked.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        raise RefusedError(415, "unsupported_content_type", f"expected {JSON}, got {kind[:80]!r}")
    if len(asked.body) > MAX_BODY_BYTES:
        raise RefusedError(413, "too_large", f"a request may hold {MAX_BODY_BYTES:,} bytes")
    try:
        given = json.loads(asked.body)
    except (ValueError, RecursionError) as error:
        reason = "it is empty" if not asked.body else f"it is no JSON: {error}"
        raise RefusedError(400, "malformed_body", f"expected an object of JSON: {reason}") from None
    if not isinstance(given, dict):
        raise RefusedError(400, "malformed_body", "expected an object of JSON")
    return given


def _of_model(status: int, said: Any) -> RefusedError:
    """What the model itself refused, whose faults are for whoever asked; or that it failed."""
    faults: Any = None
    try:
        faults = json.loads(said)["error"]["faults"]
    except (ValueError, RecursionError, KeyError, TypeError):
        log.error("the model answered with status %s", status)
    if 400 <= status < 500 and isinstance(faults, list) and faults:
        return RefusedError(status, "refused_by_model", *map(str, faults))
    return RefusedError(
        503, "model_failed", "The model failed at this text. Try again in a moment; if it fails "
        "again, whoever runs this page can tell why.",
    )  # fmt: skip


def _told(document: Any) -> Answer:
    return Answer(200, {"content-type": JSON, **SECURITY}, json.dumps(document).encode())


def _error(refused: RefusedError) -> Answer:
    faults = [fault[:2000] for fault in refused.faults]
    told = {"code": refused.code, "message": "\n".join(faults), "faults": faults}
    headers = {"content-type": JSON, **SECURITY, **refused.headers}
    return Answer(refused.status, headers, json.dumps({"error": told}).encode())
