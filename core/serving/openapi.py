"""The OpenAPI document of a server: its paths, each model's content types, example payloads."""

from __future__ import annotations

import json
from typing import Any, Iterable, Mapping

from .. import payload
from ..inference.answers import ABRIDGED
from .options import Options
from .served import Served

HTML = "text/html"
ERRORS = {
    "400": "the request does not parse; the message says where",
    "401": "the token is missing or wrong",
    "403": "Host is not a host name of this server",
    "404": "there is no such model or path",
    "406": "no offered content type satisfies Accept",
    "408": "the body came too slowly",
    "413": "the body, what it holds, or the answer is too large; the message says what is allowed",
    "415": "the content type or encoding is not accepted; the message says which are",
    "422": "the body parses, but its shape, type or range is wrong",
    "503": "not ready, or too many requests wait: Retry-After says when to come again",
    "504": "no answer in time",
}
ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "faults"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "faults": {"type": "array", "items": {"type": "string"}},
            },
        }
    },
}


def document(models: Iterable[Served], options: Options) -> dict[str, Any]:
    """The document for ``models``, as ``options`` have them asked."""
    served, max_payload = list(models), options.max_payload
    paths: dict[str, Any] = {
        "/ping": {"get": _plain("Whether requests may be sent", payload.JSON, "503")},
        "/execution-parameters": {"get": _plain("What batch transform may send", payload.JSON)},
        "/metrics": {"get": _plain("Measurements for Prometheus", payload.TEXT)},
        "/models": {"get": _plain("The models that are served", payload.JSON)},
    }
    if options.page:
        paths["/"] = {"get": _plain("The page: ask the models by hand", HTML)}
    if len(served) == 1:
        paths["/invocations"] = {"post": _invocation(served[0], max_payload)}
    for model in served:
        paths[f"/models/{model.name}"] = {"get": _plain(f"About {model.name}", payload.JSON, "404")}
        paths[f"/models/{model.name}/invoke"] = {"post": _invocation(model, max_payload)}
    components: dict[str, Any] = {"schemas": {"Error": ERROR_SCHEMA}}
    found: dict[str, Any] = {
        "openapi": "3.0.3",
        "info": {"title": "algoshelf", "version": "1"},
        "paths": paths,
        "components": components,
    }
    if options.token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
        for path in paths.keys() & {"/", "/ping"}:
            paths[path]["get"]["security"] = []
    return found


def _plain(summary: str, content_type: str, *errors: str) -> dict[str, Any]:
    answer = {"description": summary, "content": {content_type: {"schema": {}}}}
    return {"summary": summary, "responses": {"200": answer, **_errors(errors)}}


def _invocation(model: Served, max_payload: int) -> dict[str, Any]:
    algorithm, example = model.algorithm, model.metadata.example
    content: dict[str, Any] = {}
    for accepted in algorithm.accepts:
        body = example.body if accepted.name == example.content_type else accepted.example
        described = "; ".join(
            [accepted.description, *(f"the content type may add {p}" for p in accepted.parameters)]
        )
        schema = {"type": "string", "maxLength": max_payload, "description": described}
        if _is_binary(accepted.name):
            schema["format"] = "binary"
        elif accepted.name == payload.JSON:
            schema = {"description": described}
        content[accepted.name] = {"schema": schema}
        if body and ABRIDGED not in body:
            content[accepted.name]["example"] = _example(body, accepted.name)
    answers = {
        answered.name: {"schema": {"description": answered.description}}
        for answered in algorithm.response_types
    }
    return {
        "summary": f"Ask {model.name} ({algorithm.name}: {algorithm.task})",
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {"description": "an answer an example", "content": answers},
            **_errors(ERRORS),
        },
    }


def _is_binary(content_type: str) -> bool:
    return not content_type.startswith("text/") and content_type not in (
        payload.JSON,
        payload.JSONLINES,
    )


def _example(body: str, content_type: str) -> Any:
    return json.loads(body) if content_type == payload.JSON else body


def _errors(statuses: Iterable[str]) -> Mapping[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {
        status: {"description": ERRORS[status], "content": {payload.JSON: {"schema": schema}}}
        for status in statuses
    }
