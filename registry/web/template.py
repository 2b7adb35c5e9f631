"""The stack of the review app as a template of AWS CloudFormation.

A page and a function behind an HTTP API, a bucket of corrections, a log, and an alarm on the number
of requests, which is what the app's cost grows with. Nothing is paid while nobody asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import prices
from .app import BUCKET, ENDPOINT, PASSWORD
from .corrections import PREFIX

TEMPLATE, ARCHIVE = "template.json", "function.zip"  # the files of a stack
# algoshelf's own remarks in a template, which CloudFormation passes over.
REMARKS = "Algoshelf"
PYTHON, HANDLER, SECONDS = "python3.13", "lambda_function.lambda_handler", 29
ROUTES = {
    "Page": "GET /", "Files": "GET /page/{proxy+}", "Ask": "POST /ask", "Keep": "POST /corrections",
}  # fmt: skip
LOG_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731)
CODE_BUCKET, CODE_KEY, URL, CORRECTIONS = "CodeBucket", "CodeKey", "Url", "CorrectionsBucket"


@dataclass(frozen=True)
class Stack:
    """What is deployed: ``model`` is how the model is called, and ``endpoint`` names the endpoint
    that is asked; without one the function holds the model itself.

    ``password`` is what ``app.digest`` gave, or empty. ``usd`` is the cost of a month at which the
    alarm goes off.
    """

    model: str
    algorithm: str
    endpoint: str = ""
    password: str = ""
    usd: float = 5.0

    @property
    def memory(self) -> int:
        """MB of the function; at 1,769 it has a whole processor."""
        return 256 if self.endpoint else 1769

    @property
    def machine(self) -> str:
        return "arm64" if self.endpoint else "x86_64"  # on which ONNX Runtime runs in Lambda


def template(stack: Stack) -> dict[str, Any]:
    """The template, as JSON has it."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"algoshelf web: the review app of {stack.model}",
        "Metadata": {
            REMARKS: {
                "Model": stack.model,
                "Algorithm": stack.algorithm,
                "Endpoint": stack.endpoint,
                "Memory": stack.memory,
                "Machine": stack.machine,
            }
        },
        "Parameters": _parameters(stack),
        "Conditions": {
            "HasPageElsewhere": _given("PageOrigin"),
            "HasEmail": _given("AlarmEmail"),
            "HasPassword": _given("Password"),
        },
        "Resources": {
            "Corrections": _bucket(),
            "CorrectionsPolicy": _bucket_policy(),
            "Log": _log(),
            "Role": _role(stack),
            "Function": _function(stack),
            "Api": _api(stack),
            "Integration": _integration(),
            **{f"{name}Route": _route(key) for name, key in ROUTES.items()},
            "Stage": _stage(),
            "MayCall": _permission(),
            "Topic": _topic(),
            "Alarm": _alarm(),
        },
        "Outputs": {
            URL: {"Description": "The page", "Value": {"Fn::GetAtt": ["Api", "ApiEndpoint"]}},
            CORRECTIONS: {
                "Description": "Where corrections are kept", "Value": {"Ref": "Corrections"},
            },
        },
    }  # fmt: skip


def _parameters(stack: Stack) -> dict[str, Any]:
    day = prices.requests_a_day(stack.usd, stack.memory, stack.machine)
    return {
        CODE_BUCKET: _parameter("The bucket that function.zip lies in"),
        CODE_KEY: _parameter("The key of function.zip in it"),
        "Password": _parameter(
            "A digest of the password, as `algoshelf web --password-file` writes it; empty: "
            "anybody may ask",
            stack.password, NoEcho=True, AllowedPattern="|[0-9a-f]{32}:[0-9a-f]{64}",
        ),
        "PageOrigin": _parameter(
            "The origin of a page of yours elsewhere that may ask too, as https://example.org; "
            "empty: the app's own page alone",
            "", AllowedPattern="|https://[a-z0-9.-]+(:[0-9]+)?",
        ),
        "RequestsPerSecond": _parameter("Requests above this are refused (429)", 10, MinValue=1),
        "Burst": _parameter("So many may come at once", 50, MinValue=1),
        "CorrectionsPerSecond": _parameter("Corrections above this are refused", 2, MinValue=1),
        "LogDays": _parameter("Days that logs are kept", 30, AllowedValues=list(LOG_DAYS)),
        "CorrectionDays": _parameter("Days that corrections are kept", 365, MinValue=1),
        "RequestsPerDay": _parameter(
            f"Requests a day above which the alarm goes off; so many are {stack.usd:g} USD a month",
            day, MinValue=1,
        ),
        "AlarmEmail": _parameter("The address that the alarm writes to; empty: none", ""),
    }  # fmt: skip


def _parameter(description: str, default: Any = None, **more: Any) -> dict[str, Any]:
    kind = "Number" if isinstance(default, int) else "String"
    found = {"Type": kind, "Description": description, **more}
    return found if default is None else {**found, "Default": default}


def _given(name: str) -> dict[str, Any]:
    return {"Fn::Not": [{"Fn::Equals": [{"Ref": name}, ""]}]}


def _sub(text: str) -> dict[str, str]:
    return {"Fn::Sub": text}


def _arn(name: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [name, "Arn"]}


def _bucket() -> dict[str, Any]:
    """Deleting the stack fails as long as corrections are in it, which are somebody's work."""
    return {
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
                ]
            },
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "LifecycleConfiguration": {
                "Rules": [
                    {
                        "Id": "forget",
                        "Status": "Enabled",
                        "ExpirationInDays": {"Ref": "CorrectionDays"},
                        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                    }
                ]
            },
        },
    }


def _bucket_policy() -> dict[str, Any]:
    return {
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {
            "Bucket": {"Ref": "Corrections"},
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Sid": "EncryptedTransportOnly",
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": "s3:*",
                        "Resource": [_arn("Corrections"), _sub("${Corrections.Arn}/*")],
                        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                    }
                ],
            },
        },
    }


def _log() -> dict[str, Any]:
    return {
        "Type": "AWS::Logs::LogGroup",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "LogGroupName": _sub("/aws/lambda/${AWS::StackName}"),
            "RetentionInDays": {"Ref": "LogDays"},
        },
    }


def _role(stack: Stack) -> dict[str, Any]:
    """It may write its own log, put corrections, and ask that endpoint; nothing else."""
    statements = [
        {
            "Sid": "WriteOwnLog",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": _sub(
                "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${Log}:*"
            ),
        },
        {
            "Sid": "PutCorrections",
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": _sub(f"${{Corrections.Arn}}/{PREFIX}*"),
        },
    ]
    if stack.endpoint:
        arn = "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}:endpoint/"
        statements.append(
            {
                "Sid": "AskOneEndpoint",
                "Effect": "Allow",
                "Action": "sagemaker:InvokeEndpoint",
                "Resource": _sub(arn + stack.endpoint.lower()),  # as SageMaker writes ARNs
            }
        )
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "lambda.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                    }
                ],
            },
            "Policies": [
                {
                    "PolicyName": "own",
                    "PolicyDocument": {"Version": "2012-10-17", "Statement": statements},
                }
            ],
        },
    }


def _function(stack: Stack) -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::Function",
        "DependsOn": "Log",
        "Properties": {
            "FunctionName": {"Ref": "AWS::StackName"},
            "Description": f"The review app of {stack.model}",
            "Runtime": PYTHON,
            "Architectures": [stack.machine],
            "Handler": HANDLER,
            "Code": {"S3Bucket": {"Ref": CODE_BUCKET}, "S3Key": {"Ref": CODE_KEY}},
            "MemorySize": stack.memory,
            "Timeout": SECONDS,
            "Role": _arn("Role"),
            "Environment": {
                "Variables": {
                    ENDPOINT: stack.endpoint or stack.model,
                    BUCKET: {"Ref": "Corrections"},
                    PASSWORD: {
                        "Fn::If": ["HasPassword", {"Ref": "Password"}, {"Ref": "AWS::NoValue"}]
                    },
                }
            },
        },
    }


def _api(stack: Stack) -> dict[str, Any]:
    """The app's own page needs no CORS; a page elsewhere has it for its origin, and no other."""
    cors = {
        "AllowOrigins": [{"Ref": "PageOrigin"}],
        "AllowMethods": ["POST"],
        "AllowHeaders": ["content-type", "authorization"],
        "MaxAge": 600,
    }
    return {
        "Type": "AWS::ApiGatewayV2::Api",
        "Properties": {
            "Name": {"Ref": "AWS::StackName"},
            "Description": f"The review app of {stack.model}",
            "ProtocolType": "HTTP",
            "CorsConfiguration": {"Fn::If": ["HasPageElsewhere", cors, {"Ref": "AWS::NoValue"}]},
        },
    }


def _integration() -> dict[str, Any]:
    return {
        "Type": "AWS::ApiGatewayV2::Integration",
        "Properties": {
            "ApiId": {"Ref": "Api"},
            "IntegrationType": "AWS_PROXY",
            "IntegrationUri": _arn("Function"),
            "PayloadFormatVersion": "2.0",
            "TimeoutInMillis": 1000 * SECONDS + 1000,
        },
    }


def _route(key: str) -> dict[str, Any]:
    return {
        "Type": "AWS::ApiGatewayV2::Route",
        "Properties": {
            "ApiId": {"Ref": "Api"},
            "RouteKey": key,
            "Target": _sub("integrations/${Integration}"),
        },
    }


def _stage() -> dict[str, Any]:
    return {
        "Type": "AWS::ApiGatewayV2::Stage",
        "DependsOn": "KeepRoute",  # which has settings of its own
        "Properties": {
            "ApiId": {"Ref": "Api"},
            "StageName": "$default",
            "AutoDeploy": True,
            "DefaultRouteSettings": {
                "ThrottlingRateLimit": {"Ref": "RequestsPerSecond"},
                "ThrottlingBurstLimit": {"Ref": "Burst"},
            },
            "RouteSettings": {
                ROUTES["Keep"]: {
                    "ThrottlingRateLimit": {"Ref": "CorrectionsPerSecond"},
                    "ThrottlingBurstLimit": {"Ref": "CorrectionsPerSecond"},
                }
            },
        },
    }


def _permission() -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::Permission",
        "Properties": {
            "Action": "lambda:InvokeFunction",
            "FunctionName": {"Ref": "Function"},
            "Principal": "apigateway.amazonaws.com",
            "SourceArn": _sub(
                "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*"
            ),
        },
    }


def _topic() -> dict[str, Any]:
    subscription = {"Protocol": "email", "Endpoint": {"Ref": "AlarmEmail"}}
    return {
        "Type": "AWS::SNS::Topic",
        "Condition": "HasEmail",
        "Properties": {"Subscription": [subscription]},
    }


def _alarm() -> dict[str, Any]:
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmDescription": _sub(
                "${AWS::StackName}: more requests a day than it is to cost; `algoshelf sagemaker "
                "web delete ${AWS::StackName}` ends it"
            ),
            "Namespace": "AWS/ApiGateway",
            "MetricName": "Count",
            "Dimensions": [{"Name": "ApiId", "Value": {"Ref": "Api"}}],
            "Statistic": "Sum",
            "Period": 86400,
            "EvaluationPeriods": 1,
            "Threshold": {"Ref": "RequestsPerDay"},
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
            "AlarmActions": {"Fn::If": ["HasEmail", [{"Ref": "Topic"}], {"Ref": "AWS::NoValue"}]},
        },
    }
