"""What moto's CloudFormation lacks of the review app: kinds of things that moto has, made by it."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Tuple

import boto3
import click
import pytest
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel

Made = Callable[[Any, Mapping[str, Any], str], "Answer"]
Removed = Callable[[Any, Mapping[str, Any], str], None]


def _cloudformation() -> click.Context:
    """In place of the command's context: it is CloudFormation that asks, see `Aws.hold`."""
    return click.Context(click.Command("cloudformation"))


Answer = Tuple[str, Mapping[str, str]]


def _api(client: Any, properties: Mapping[str, Any], name: str) -> Answer:
    made = client.create_api(**properties)
    return made["ApiId"], {"ApiEndpoint": made["ApiEndpoint"]}


def _integration(client: Any, properties: Mapping[str, Any], name: str) -> Answer:
    return client.create_integration(**properties)["IntegrationId"], {}


def _route(client: Any, properties: Mapping[str, Any], name: str) -> Answer:
    return client.create_route(**properties)["RouteId"], {}


def _stage(client: Any, properties: Mapping[str, Any], name: str) -> Answer:
    client.create_stage(**_numbers(properties))
    return properties["StageName"], {}


def _alarm(client: Any, properties: Mapping[str, Any], name: str) -> Answer:
    client.put_metric_alarm(AlarmName=name, **_numbers(properties))
    return name, {}


def _policy(client: Any, properties: Mapping[str, Any], name: str) -> Answer:
    client.head_bucket(Bucket=properties["Bucket"])  # moto heeds no conditions: it would deny all
    return f"{properties['Bucket']}-policy", {}


def _numbers(value: Any) -> Any:
    """Parameters of a template are text; CloudFormation makes numbers of them."""
    if isinstance(value, Mapping):
        return {key: _numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_numbers(each) for each in value]
    return int(value) if isinstance(value, str) and value.isdecimal() else value


KINDS: Mapping[str, tuple[str, Made, Removed]] = {
    "AWS::ApiGatewayV2::Api": (
        "apigatewayv2", _api, lambda client, _, name: client.delete_api(ApiId=name),
    ),
    "AWS::ApiGatewayV2::Integration": ("apigatewayv2", _integration, lambda *_: None),
    "AWS::ApiGatewayV2::Route": ("apigatewayv2", _route, lambda *_: None),
    "AWS::ApiGatewayV2::Stage": ("apigatewayv2", _stage, lambda *_: None),
    "AWS::CloudWatch::Alarm": (
        "cloudwatch", _alarm, lambda client, _, name: client.delete_alarms(AlarmNames=[name]),
    ),
    "AWS::S3::BucketPolicy": ("s3", _policy, lambda *_: None),
}  # fmt: skip


def _model(kind: str, service: str, make: Made, remove: Removed) -> type[CloudFormationModel]:
    class Model(CloudFormationModel):  # type: ignore[misc]
        def __init__(self, name: str, attributes: Mapping[str, str]) -> None:
            self.physical_resource_id = name
            self.attributes = attributes

        @staticmethod
        def cloudformation_name_type() -> str:
            return ""

        @staticmethod
        def cloudformation_type() -> str:
            return kind

        @classmethod
        def has_cfn_attr(cls, attr: str) -> bool:
            return kind.endswith("::Api") and attr == "ApiEndpoint"

        def get_cfn_attribute(self, name: str) -> str:
            return self.attributes[name]

        @classmethod
        def create_from_cloudformation_json(
            cls, resource_name: str, cloudformation_json: Any, *_: Any, **__: Any
        ) -> Model:
            properties = cloudformation_json["Properties"]
            given = {key: each for key, each in properties.items() if each is not None}
            given.pop("Tags", None)
            with _cloudformation():
                return cls(*make(boto3.client(service), given, resource_name))

        @classmethod
        def delete_from_cloudformation_json(
            cls, resource_name: str, cloudformation_json: Any, *_: Any
        ) -> None:
            with _cloudformation():
                remove(boto3.client(service), cloudformation_json["Properties"], resource_name)

    return Model


MODELS = {kind: _model(kind, *given) for kind, given in KINDS.items()}


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """CloudFormation that knows KINDS too."""
    known = {**parsing.get_model_map(), **MODELS}
    monkeypatch.setattr(parsing, "get_model_map", lambda: known)
