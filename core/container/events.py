"""HTTP requests as events of AWS Lambda.

An event is one request. Its form is that of API Gateway's REST APIs and of load balancers (payload
format 1.0), or that of HTTP APIs and function URLs (2.0). Source: AWS Lambda's and API Gateway's
developer guides, "Invoking a Lambda function using an Amazon API Gateway endpoint" and "AWS Lambda
proxy integrations".

This module is carried into functions without the rest of core: it imports the standard library
alone.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Mapping

FORMS = (
    "expected the event of an HTTP request, as API Gateway, a function URL or a load balancer "
    "sends it"
)
FIELDS = ("headers", "multiValueHeaders", "requestContext")


class MalformedEventError(ValueError):
    """An event that is no request; ``faults`` are all that is wrong with it."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Asked:
    """A request: its method, its path, its headers by their names in lower case, and its body."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


def asked(event: Any) -> Asked:
    """The request in an event. Raises MalformedEventError."""
    if not isinstance(event, dict):
        raise MalformedEventError(f"{FORMS}, a JSON object, got {_kind(event)}")
    wrong = [
        f"{name}: expected an object, got {_kind(event[name])}"
        for name in FIELDS
        if not isinstance(event.get(name), (dict, type(None)))
    ]
    if wrong:
        raise MalformedEventError(*wrong)
    http = (event.get("requestContext") or {}).get("http")
    named = http.get("method") if isinstance(http, dict) else event.get("httpMethod")
    if not isinstance(named, str) or not named:
        raise MalformedEventError(
            f"{FORMS}: it says the method in httpMethod, or in requestContext.http.method"
        )
    path = event.get("rawPath", event.get("path"))
    if not isinstance(path, (str, type(None))):
        wrong.append(f"path: expected a string, got {_kind(path)}")
    body, encoded = event.get("body"), event.get("isBase64Encoded", False)
    if not isinstance(body, (str, type(None))):
        wrong.append(f"body: expected a string or null, got {_kind(body)}")
    if not isinstance(encoded, (bool, type(None))):
        wrong.append(f"isBase64Encoded: expected true or false, got {_kind(encoded)}")
    headers = _headers(event, wrong)
    if wrong:
        raise MalformedEventError(*wrong)
    try:
        raw = base64.b64decode(body or "", validate=True) if encoded else (body or "").encode()
    except (binascii.Error, ValueError) as error:  # of UnicodeEncodeError too
        raise MalformedEventError(
            f"body: is {'no base64' if encoded else 'no text'}: {error}"
        ) from None
    return Asked(named.upper(), path or "/", headers, raw)


def answered(
    status: int, headers: Mapping[str, str], body: bytes, *, is_text: bool
) -> dict[str, Any]:
    """An answer as Lambda passes it on, in either payload format; what is no text is in base64."""
    return {
        "statusCode": status,
        "headers": dict(headers),
        "body": body.decode() if is_text else base64.b64encode(body).decode("ascii"),
        "isBase64Encoded": not is_text,
    }


def _headers(event: Mapping[str, Any], wrong: list[str]) -> dict[str, str]:
    """The headers of an event; of several of a name, those of HTTP's list. ``wrong`` gets faults.

    A load balancer may give them in ``multiValueHeaders`` alone.
    """
    found: dict[str, str] = {}
    several = event.get("multiValueHeaders") or {}
    for name, values in several.items():
        if isinstance(values, list) and all(isinstance(value, str) for value in values):
            found[name.lower()] = ", ".join(values)
        else:
            wrong.append(f"multiValueHeaders: {name}: expected a list of strings")
    for name, value in (event.get("headers") or {}).items():
        if isinstance(value, str):
            found.setdefault(name.lower(), value)
        else:
            wrong.append(f"headers: {name}: expected a string, got {_kind(value)}")
    return found


def _kind(value: Any) -> str:
    """What JSON calls a value."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")
