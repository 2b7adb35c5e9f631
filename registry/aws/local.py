"""An endpoint of SageMaker on this machine: boto3's own client, which asks `algoshelf serve`.

What SageMaker does between a client and a container is done in the client: the path of the request,
and the form in which it reports what the container refuses.
"""

from __future__ import annotations

import json
from typing import Any

from .account import local_session

SERVICE, OPERATION = "sagemaker-runtime", "InvokeEndpoint"


def runtime(url: str, connections: int, **settings: Any) -> Any:
    """The client ``sagemaker-runtime`` of an endpoint whose container answers at ``url``.

    Any endpoint name means that one; ``connections`` may be open at the same time, and
    ``settings`` are botocore's. Raises MissingDependencyError.
    """
    session = local_session()
    from botocore.config import Config

    config = Config(max_pool_connections=connections, proxies={}, **settings)
    client = session.client(SERVICE, endpoint_url=url, config=config)

    def direct(params: dict[str, Any], **_: Any) -> None:
        params["url"] = f"{url}/invocations"

    def wrap(response_dict: dict[str, Any], **_: Any) -> None:
        status = response_dict["status_code"]
        if status < 400:
            return
        said = response_dict["body"]
        response_dict["status_code"] = 424
        response_dict["headers"]["x-amzn-errortype"] = "ModelError"
        response_dict["body"] = json.dumps(
            {
                "Message": f"Received error ({status}) from the model",
                "OriginalStatusCode": status,
                "OriginalMessage": said.decode("utf-8", "replace"),
            }
        ).encode()

    client.meta.events.register(f"before-call.{SERVICE}.{OPERATION}", direct)
    client.meta.events.register(f"before-parse.{SERVICE}.{OPERATION}", wrap)
    return client
