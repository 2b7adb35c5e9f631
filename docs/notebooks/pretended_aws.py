"""AWS for these notebooks: a pretence on this machine, or your account.

``ALGOSHELF_NOTEBOOK_AWS=real`` is for your account. The pretence is moto's server, which keeps
buckets, jobs, models and endpoints in memory. What moto only records is done here: a training job
runs its entry point in a process, a batch transform job and an endpoint answer by the model that
they name. Nothing leaves this machine.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import logging
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

SWITCH = "ALGOSHELF_NOTEBOOK_AWS"
ACCOUNT, REGION, ROLE = "123456789012", "us-east-1", "algoshelf-execution"
INSTANCES = ("ml.m5.large", "ml.m5.xlarge")
USES = ("training job", "spot training job", "transform job", "endpoint")
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


@dataclass(frozen=True)
class Aws:
    """Where the notebook's requests go, and the bucket and the role that its jobs use."""

    real: bool
    bucket: str
    role: str


def connect() -> Aws:
    """Pretend AWS, for this notebook and the commands that it starts; or use your own account."""
    if os.environ.get(SWITCH) == "real":
        return _own_account()
    _Pretence().start()
    print("AWS is pretended on this machine: nothing is sent to Amazon, and nothing is billed.")
    return Aws(False, f"sagemaker-{REGION}-{ACCOUNT}", ROLE)


def _own_account() -> Aws:
    from algoshelf.registry.aws.account import Account

    if not os.environ.get("ALGOSHELF_ROLE"):
        raise SystemExit(f"{SWITCH}=real: set ALGOSHELF_ROLE to the role that your jobs are to use")
    account = Account()
    print(f"AWS is your account, in {account.region}: cells that say BILLED cost money.")
    return Aws(True, account.bucket, os.environ["ALGOSHELF_ROLE"])


class _Pretence:
    """moto's server in this process, and what it lacks."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="algoshelf-aws-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.models: dict[str, Any] = {}
        self.sent: Counter[tuple[str, str]] = Counter()

    def start(self) -> None:
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        atexit.register(server.stop)
        host, port = server.get_host_and_port()
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]  # no profile and no key of yours is used
        os.environ.update(
            AWS_ENDPOINT_URL=f"http://{host}:{port}",
            AWS_ACCESS_KEY_ID="pretended",
            AWS_SECRET_ACCESS_KEY="pretended",
            AWS_DEFAULT_REGION=REGION,
            AWS_CONFIG_FILE=os.devnull,
            AWS_SHARED_CREDENTIALS_FILE=os.devnull,
            ALGOSHELF_ROLE=ROLE,
        )
        self._complete_moto()
        self.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST))

    def client(self, service: str) -> Any:
        import boto3

        return boto3.client(service)

    def _complete_moto(self) -> None:
        from moto.core.responses import ActionResult
        from moto.sagemaker.models import SageMakerModelBackend
        from moto.sagemaker.responses import SageMakerResponse
        from moto.sagemakerruntime.responses import SageMakerRuntimeResponse
        from moto.servicequotas.responses import ServiceQuotasResponse

        quotas = [
            {"QuotaName": f"{each} for {use} usage", "QuotaCode": "L-1", "Value": 4.0}
            for each in INSTANCES
            for use in USES
        ]
        create, transform = (
            SageMakerModelBackend.create_training_job,
            SageMakerModelBackend.create_transform_job,
        )

        def trained(backend: Any, **request: Any) -> Any:
            job = create(backend, **request)
            job.training_job_status, job.secondary_status = "InProgress", "Training"
            threading.Thread(target=self._train, args=(job,), daemon=True).start()
            return job

        def transformed(backend: Any, **request: Any) -> Any:
            job = transform(backend, **request)
            self._transform(backend, job)
            return job

        def updated(response: Any) -> Any:
            backend = response.sagemaker_backend
            endpoint = backend.endpoints[response._get_param("EndpointName")]
            endpoint.endpoint_config_name = response._get_param("EndpointConfigName")
            found = backend.describe_endpoint_config(endpoint.endpoint_config_name)
            variants = endpoint._process_production_variants(found["ProductionVariants"])
            endpoint.production_variants = variants
            return ActionResult({"EndpointArn": endpoint.arn})

        SageMakerModelBackend.create_training_job = trained
        SageMakerModelBackend.create_transform_job = transformed
        SageMakerResponse.update_endpoint = updated
        SageMakerResponse.list_inference_components = lambda _: ActionResult(
            {"InferenceComponents": []}
        )
        set_up = SageMakerRuntimeResponse.setup_class

        def set_up_raw(response: Any, request: Any, url: str, headers: Any, **_: Any) -> None:
            set_up(response, request, url, headers, use_raw_body=True)  # a picture is no text

        SageMakerRuntimeResponse.setup_class = set_up_raw
        SageMakerRuntimeResponse.invoke_endpoint = lambda response: self._invoke(response)
        ServiceQuotasResponse.list_service_quotas = lambda _: ActionResult({"Quotas": quotas})

    def _train(self, job: Any) -> None:
        """Train; the job says afterwards how it ended."""
        try:
            reason = self._trained(job)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        status = "Failed" if reason else "Completed"
        job.failure_reason = reason
        job.training_job_status = job.secondary_status = status

    def _trained(self, job: Any) -> str:
        """Run the entry point as AWS's toolkit does; why it failed, or an empty string.

        A job of another image, such as one of AWS's own algorithms, has none: it is recorded only.
        """
        if "sagemaker_submit_directory" not in job.hyper_parameters:
            return ""
        given = {name: json.loads(value) for name, value in job.hyper_parameters.items()}
        ml = Path(tempfile.mkdtemp(dir=self.folder))
        source = self._unpacked(given["sagemaker_submit_directory"])
        for channel in job.input_data_config:
            where = channel["DataSource"]["S3DataSource"]["S3Uri"]
            self._download(where, ml / "input" / "data" / channel["ChannelName"])
        config = ml / "input" / "config"
        config.mkdir(parents=True)
        names = [each["ChannelName"] for each in job.input_data_config]
        one = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated"}
        hosts = {"current_host": "algo-1", "hosts": ["algo-1"]}
        (config / "inputdataconfig.json").write_text(json.dumps(dict.fromkeys(names, one)))
        (config / "resourceconfig.json").write_text(json.dumps(hosts))
        own = {k: v for k, v in given.items() if not k.startswith("sagemaker_")}
        words = [word for name, value in own.items() for word in (f"--{name}", str(value))]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        done = subprocess.run(
            [sys.executable, given["sagemaker_program"], *words],
            cwd=source,
            env={**kept, "SAGEMAKER_BASE_DIR": str(ml)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self._log(job.training_job_name, done.stdout.replace(str(ml), "/opt/ml"))
        if done.returncode:
            told = ml / "output" / "failure"
            return told.read_text() if told.exists() else done.stdout[-1024:]
        uri = job.model_artifacts["S3ModelArtifacts"]
        self._upload(_packed(ml / "model"), uri)
        last = dict(re.findall(r"(?:^| )(\w+:\w+)=(\S+)", done.stdout))
        job.final_metric_data_list = [
            {"MetricName": name, "Value": float(value), "Timestamp": job.creation_time}
            for name, value in last.items()
        ]
        return ""

    def _log(self, name: str, text: str) -> None:
        logs = self.client("logs")
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=LOG_GROUP)
        stream = {"logGroupName": LOG_GROUP, "logStreamName": f"{name}/algo-1-1"}
        logs.create_log_stream(**stream)
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line} for line in text.splitlines() if line]
        if events:
            logs.put_log_events(**stream, logEvents=events)

    def _transform(self, backend: Any, job: Any) -> None:
        where = job.transform_input["DataSource"]["S3DataSource"]["S3Uri"]
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        self._download(where, folder / "input")
        model = self._unpacked(_archive_of(backend, job.model_name))
        program = [sys.executable, "-m", "algoshelf.registry.cli"]
        words = ["transform", str(model), str(folder / "input"), str(folder / "output")]
        if job.transform_input.get("ContentType"):
            words += ["--content-type", job.transform_input["ContentType"]]
        if job.transform_output.get("Accept"):
            words += ["--accept", job.transform_output["Accept"]]
        subprocess.run([*program, *words], check=True, capture_output=True)
        for path in (folder / "output").rglob("*.out"):
            key = path.relative_to(folder / "output")
            self._upload(path.read_bytes(), f"{job.transform_output['S3OutputPath']}/{key}")

    def _invoke(self, response: Any) -> tuple[int, Mapping[str, str], bytes]:
        """Answer by the model of a variant, drawn by the variants' weights."""
        from algoshelf.core.inference.handlers import Handlers
        from algoshelf.core.runtime.errors import PayloadError
        from algoshelf.registry.discovery import opened
        from moto.sagemaker.models import sagemaker_backends

        backend = sagemaker_backends[ACCOUNT][REGION]
        name = response.path.split("/")[2]
        endpoint = backend.endpoints[name]
        found = endpoint.production_variants
        weights = [each.get("DesiredWeight", 1.0) for each in found]
        number = sum(n for (of, _), n in self.sent.items() if of == name)
        variant = random.Random(number).choices(found, weights)[0]["VariantName"]
        self.sent[name, variant] += 1
        configured = backend.describe_endpoint_config(endpoint.endpoint_config_name)
        (model,) = (
            each["ModelName"]
            for each in configured["ProductionVariants"]
            if each["VariantName"] == variant
        )
        uri = _archive_of(backend, model)
        if uri not in self.models:
            folder = self._unpacked(uri)
            self.models[uri] = Handlers.load(opened(folder)[1], folder)
        handlers, begun = self.models[uri], time.monotonic()
        body, headers = response.body, response.headers
        accept = headers.get("Accept") or "application/json"
        status, kind = 200, accept
        try:
            answer = handlers.invoke(body, headers.get("Content-Type"), accept)
        except PayloadError as error:
            status, kind, answer = 400, "application/json", json.dumps(str(error)).encode()
        self._measure(name, variant, time.monotonic() - begun)
        sent = {"Content-Type": kind, "x-Amzn-Invoked-Production-Variant": variant}
        return status, sent, answer

    def _measure(self, endpoint: str, variant: str, seconds: float) -> None:
        dimensions = [
            {"Name": "EndpointName", "Value": endpoint},
            {"Name": "VariantName", "Value": variant},
        ]
        values = {"ModelLatency": seconds * 1e6, "Invocation5XXErrors": 0.0}
        self.client("cloudwatch").put_metric_data(
            Namespace="AWS/SageMaker",
            MetricData=[
                {"MetricName": name, "Dimensions": dimensions, "Value": value}
                for name, value in values.items()
            ],
        )

    def _unpacked(self, uri: str) -> Path:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        body = self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            archive.extractall(folder, filter="data")
        return folder

    def _download(self, uri: str, folder: Path) -> None:
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        folder.mkdir(parents=True)
        s3 = self.client("s3")
        for each in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ()):
            s3.download_file(bucket, each["Key"], str(folder / Path(each["Key"]).name))

    def _upload(self, content: bytes, uri: str) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.client("s3").put_object(Bucket=bucket, Key=key, Body=content)


def _archive_of(backend: Any, model: str) -> str:
    """Where the archive of a model lies in S3."""
    return str(backend.describe_model(model).primary_container["ModelDataUrl"])


def _packed(folder: Path) -> bytes:
    """``folder`` as SageMaker packs /opt/ml/model."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    return packed.getvalue()
