"""Events as API Gateway sends them, recorded field by field in AWS's developer guide.

"Lambda proxy integrations for HTTP APIs" (payload formats 2.0 and 1.0) and "Lambda proxy
integrations in API Gateway" (REST APIs). Addresses and numbers are those of documentation.
"""

from __future__ import annotations

from typing import Any, Mapping


def http(
    path: str,
    body: str | None,
    headers: Mapping[str, str] | None,
    method: str = "POST",
    **more: Any,
) -> dict[str, Any]:
    """Of an HTTP API, payload format 2.0."""
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {name.lower(): value for name, value in (headers or {}).items()},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api-id",
            "domainName": "id.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "id",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "agent",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1583348638390,
        },
        "isBase64Encoded": False,
        **more,
    }
    return event if body is None else {**event, "body": body}


def rest(
    path: str,
    body: str | None,
    headers: Mapping[str, str] | None,
    method: str = "POST",
    **more: Any,
) -> dict[str, Any]:
    """Of a REST API, payload format 1.0."""
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": dict(headers) if headers is not None else None,
        "multiValueHeaders": {name: [value] for name, value in (headers or {}).items()} or None,
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": path.lstrip("/")},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "id",
            "domainName": "id.execute-api.us-east-1.amazonaws.com",
            "extendedRequestId": "request-id",
            "httpMethod": method,
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "agent"},
            "path": f"/prod{path}",
            "protocol": "HTTP/1.1",
            "requestId": "id=",
            "requestTime": "04/Mar/2020:19:15:17 +0000",
            "requestTimeEpoch": 1583349317135,
            "resourcePath": "/{proxy+}",
            "stage": "prod",
        },
        "body": body,
        "isBase64Encoded": False,
        **more,
    }


FORMS = (http, rest)
