"""What a user of the SDK writes for its local mode; run by the SDK's own Python.

argv[1] is a JSON object of what the test chooses; the last line on stdout is one of what came out.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import boto3
from sagemaker.base_serializers import IdentitySerializer
from sagemaker.deserializers import JSONDeserializer
from sagemaker.local import LocalSession
from sagemaker.mxnet import MXNet

ROLE = "arn:aws:iam::111122223333:role/unused"


def main(given: dict[str, Any]) -> dict[str, Any]:
    boto = boto3.Session("nobody", "nothing", region_name="us-east-1")
    session = LocalSession(boto)
    local = {"local_code": True, "serving_port": given["port"], "container_root": given["folder"]}
    session.config = {"local": local}
    hosts = given["hosts"]
    estimator = MXNet(
        "entry_point.py",
        source_dir=given["source"],
        role=ROLE,
        instance_count=hosts,
        instance_type="local",
        image_uri="aws-mxnet:1.9.0",
        framework_version="1.9.0",
        py_version="py38",
        hyperparameters=given["hyperparameters"],
        output_path=f"file://{given['output']}",
        code_location="s3://unused/code",
        distribution={"parameter_server": {"enabled": True}} if hosts > 1 else None,
        sagemaker_session=session,
    )
    channels = {name: f"file://{path}" for name, path in given["channels"].items()}
    try:
        estimator.fit(channels)
    except RuntimeError as error:
        return {"error": str(error)}
    found: dict[str, Any] = {"model": estimator.model_data}
    if "body" in given:
        predictor = estimator.deploy(
            1,
            "local",
            serializer=IdentitySerializer(given["content_type"]),
            deserializer=JSONDeserializer(),
            model_server_workers=1,
        )
        try:
            found["answer"] = predictor.predict(bytes.fromhex(given["body"]))
        finally:
            predictor.delete_endpoint()
    return found


if __name__ == "__main__":
    print("\n" + json.dumps(main(json.loads(sys.argv[1]))))
