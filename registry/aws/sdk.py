"""The SageMaker SDK's own objects, fully set up for an algorithm of the catalog.

The one module that imports ``sagemaker``: version 2, the last that knows MXNet
(docs/decisions/0012-sagemaker.md).
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from ...core import codecs
from ...core.artifact import METADATA, PARAMETERS, SYMBOL, Metadata
from ...core.errors import ArtifactError, InputError, MissingDependencyError
from ..discovery import AnyAlgorithm, catalog, opened
from ..packaging import kinds
from . import data, tags
from .account import ROLE_VARIABLE, Account, AwsError, explained

os.environ.setdefault("SAGEMAKER_SUPPRESS_V2_WARNING", "1")  # version 2 is what is wanted
try:
    import sagemaker
    from sagemaker.config import load_sagemaker_config
    from sagemaker.deserializers import (
        BytesDeserializer,
        CSVDeserializer,
        JSONDeserializer,
        JSONLinesDeserializer,
    )
    from sagemaker.model import Model
    from sagemaker.mxnet import MXNetModel
    from sagemaker.predictor import Predictor
    from sagemaker.serializers import (
        CSVSerializer,
        IdentitySerializer,
        JSONLinesSerializer,
        JSONSerializer,
        NumpySerializer,
    )
    from sagemaker.utils import name_from_base
except ImportError:
    raise MissingDependencyError(
        "this needs the SageMaker SDK, version 2: pip install 'algoshelf[sagemaker]'"
    ) from None

FRAMEWORK = {"framework_version": "1.9.0", "py_version": "py38"}  # of AWS's last MXNet image
CODE = "code/"  # in a model.tar.gz, of what answers
HANDLERS = {
    "SAGEMAKER_PROGRAM": kinds.INFERENCE,
    "SAGEMAKER_SUBMIT_DIRECTORY": f"/opt/ml/model/{CODE.rstrip('/')}",
}
# By content type, the handiest first.
SERIALIZERS = {
    codecs.NPY: NumpySerializer,
    codecs.JSON: JSONSerializer,
    codecs.CSV: CSVSerializer,
    codecs.JSONLINES: JSONLinesSerializer,
}
DESERIALIZERS = {
    codecs.JSON: JSONDeserializer,
    codecs.JSONLINES: JSONLinesDeserializer,
    codecs.CSV: CSVDeserializer,
}


class Session(sagemaker.Session):  # type: ignore[misc]
    """The SDK's session in ``account``: it sends no telemetry, and speaks on stderr alone."""

    def __init__(self, account: Account) -> None:
        self.account = account
        account.boto.events.register("request-created.sts", _to_named_endpoint)
        super().__init__(boto_session=account.boto, sagemaker_config=_config())


def model(
    source: str | Path,
    *,
    role: str | None = None,
    image_uri: str | None = None,
    name: str | None = None,
    env: dict[str, str] | None = None,
    offline: bool = False,
    session: Any = None,
) -> Any:
    """A trained model as the SDK's own ``MXNetModel``, or its ``Model`` where ``image_uri`` is set.

    ``source`` is a folder that ``algoshelf train`` wrote, a ``model.tar.gz`` here or in S3, or the
    name of a training job that has completed. It is checked, packed with the code that answers,
    and uploaded unless those bytes are in S3 already. ``deploy`` tags what it creates, and returns
    a predictor of the algorithm's content types. What is beyond the SDK: ``metadata``, the
    artifact's. ``offline`` adds the wheels, for endpoints without network.

    Raises ArtifactError, AwsError, DataError, InputError, PluginError.
    """
    session = session or Session(Account())
    account = account_of(session)
    uri, metadata, algorithm = _uploaded_model(account, source, offline)
    settings = {
        "model_data": uri,
        "role": role or os.environ.get(ROLE_VARIABLE),
        "name": name or name_from_base(algorithm.name),
        "env": {**HANDLERS, **(env or {})} if image_uri is None else dict(env or {}),
        "predictor_cls": _predictor_class(algorithm),
        "code_location": f"{data.SCHEME}{account.bucket}/{data.PREFIX}/code",
        "sagemaker_session": session,
    }
    made = Model(image_uri, **settings) if image_uri else MXNetModel(**settings, **FRAMEWORK)
    made.metadata = metadata
    made.add_tags(tags.tags(algorithm.name))  # deploy takes them from there
    return made


def predictor(endpoint: str, *, algorithm: str | None = None, session: Any = None) -> Any:
    """The SDK's ``Predictor`` of ``endpoint``, which speaks the algorithm's content types.

    The algorithm is the one that the endpoint's tags name, unless it is given. Raises AwsError,
    InputError, UnknownNameError.
    """
    session = session or Session(Account())
    name = algorithm or _tagged_algorithm(account_of(session), endpoint)
    return _predictor_class(catalog().get(name).algorithm)(endpoint, session)


def account_of(session: Any) -> Account:
    """The account that a session of the SDK acts in."""
    if isinstance(session, Session):
        return session.account
    return Account(boto=session.boto_session)


def _config() -> dict[str, Any]:
    """The user's defaults for the SDK, without its telemetry."""
    for handler in sagemaker.config.config_utils.get_sagemaker_config_logger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.setStream(sys.stderr)
    config: dict[str, Any] = load_sagemaker_config() or {"SchemaVersion": "1.0"}
    modules = config
    for name in ("SageMaker", "PythonSDK", "Modules"):
        modules = modules.setdefault(name, {})
    modules["TelemetryOptOut"] = True
    return config


def _to_named_endpoint(request: Any, **_: Any) -> None:
    """The SDK writes the address of STS itself: one that the environment names goes first."""
    named = os.environ.get("AWS_ENDPOINT_URL_STS") or os.environ.get("AWS_ENDPOINT_URL")
    if named:
        request.url = named.rstrip("/") + "/"


def _uploaded_model(
    account: Account, source: str | Path, offline: bool
) -> tuple[str, Metadata, AnyAlgorithm]:
    """The URI of the model with code, what it is, and which algorithm made it."""
    uri = ""
    if data.is_uri(source):
        uri = str(source)
    elif not Path(source).exists() and "/" not in str(source):
        uri = _model_of_job(account, str(source))
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        folder = Path(source)
        archive = folder if not uri and folder.is_file() else None
        if uri:
            archive = Path(scratch, kinds.MODEL_ARCHIVE)
            data.download(account, uri, archive, kinds.MOST_MODEL_BYTES)
        has_code = False
        if archive is not None:
            folder = Path(scratch, "model")
            folder.mkdir()
            has_code = _unpack(archive, folder, uri or str(archive))
        artifact, algorithm = opened(folder)
        if has_code and archive is not None:
            artifact.check()
        else:
            uri, archive = "", Path(scratch, "packed", kinds.MODEL_ARCHIVE)
            kinds.model(catalog().get(algorithm.name), artifact, archive.parent, offline=offline)
        return uri or data.upload(account, archive, "models"), artifact.metadata, algorithm


def _model_of_job(account: Account, job: str) -> str:
    """Where the training job left its model."""
    try:
        with explained():
            found = account.client("sagemaker").describe_training_job(TrainingJobName=job)
    except AwsError as error:
        if error.aws_code not in ("ValidationException", "ResourceNotFound"):
            raise
        raise InputError(
            f"{job}: neither a model folder or archive here, nor a training job in {account.region}"
        ) from None
    uri = found.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    if found["TrainingJobStatus"] != "Completed" or not uri:
        raise InputError(
            f"{job}: has no model yet: it is {found['TrainingJobStatus']}; see "
            f"`algoshelf sagemaker status {job}`"
        )
    return str(uri)


def _unpack(archive: Path, folder: Path, label: str) -> bool:
    """Write the model's own files of ``archive`` into ``folder``; whether it holds code too."""
    has_code, left = False, kinds.MOST_MODEL_BYTES
    try:
        with tarfile.open(archive) as members:
            for member in members:
                name = member.name[2:] if member.name.startswith("./") else member.name
                has_code = has_code or name == f"{CODE}{kinds.INFERENCE}"
                if name not in (METADATA, PARAMETERS, SYMBOL) or not member.isfile():
                    continue
                left -= member.size
                if left < 0:
                    raise ArtifactError(
                        f"{label}: holds a model of more than {kinds.MOST_MODEL_BYTES:,} bytes"
                    )
                content = members.extractfile(member)
                assert content is not None
                with content, Path(folder, name).open("wb") as target:
                    shutil.copyfileobj(content, target)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ArtifactError(f"{label}: is no archive of a model: {error}") from None
    if not Path(folder, METADATA).is_file():
        raise ArtifactError(f"{label}: holds no {METADATA}: it is no model of algoshelf's")
    return has_code


def _tagged_algorithm(account: Account, endpoint: str) -> str:
    """The algorithm that the tags of ``endpoint`` name."""
    client = account.client("sagemaker")
    with explained():
        arn = client.describe_endpoint(EndpointName=endpoint)["EndpointArn"]
        pages = client.get_paginator("list_tags").paginate(ResourceArn=arn)
        found = tags.read(tag for page in pages for tag in page["Tags"])
    if tags.ALGORITHM not in found:
        raise InputError(
            f"{endpoint}: has no tag {tags.ALGORITHM}: algoshelf did not make it; "
            "say which algorithm answers there"
        )
    return found[tags.ALGORITHM]


def _predictor_class(algorithm: AnyAlgorithm) -> Any:
    """What the SDK calls to make a predictor of the algorithm's content types."""
    accepted, answered = algorithm.accepted(), algorithm.answered()
    takes = next((kind for kind in SERIALIZERS if kind in accepted), "")
    gives = next((kind for kind in DESERIALIZERS if kind in answered), "")

    def make(endpoint_name: str, sagemaker_session: Any = None, **more: Any) -> Any:
        return Predictor(
            endpoint_name,
            sagemaker_session,
            serializer=SERIALIZERS[takes]() if takes else IdentitySerializer(accepted[0]),
            deserializer=DESERIALIZERS[gives]() if gives else BytesDeserializer(answered[0]),
            **more,
        )

    return make
