"""The SDK's models and predictors, fully set up for an algorithm of the catalog."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ...core import payload
from ...core.runtime.errors import InputError
from ..discovery import AnyAlgorithm, catalog
from . import data, sources, tags
from .account import Account, explained
from .instances import CPU
from .sdk import (
    FRAMEWORK,
    BytesDeserializer,
    CSVDeserializer,
    CSVSerializer,
    IdentitySerializer,
    JSONDeserializer,
    JSONLinesDeserializer,
    JSONLinesSerializer,
    JSONSerializer,
    Model,
    MXNetModel,
    NumpySerializer,
    Predictor,
    Session,
    account_of,
    execution_role,
    image,
    job_name,
)

# By content type, the handiest first.
SERIALIZERS = {
    payload.NPY: NumpySerializer,
    payload.JSON: JSONSerializer,
    payload.CSV: CSVSerializer,
    payload.JSONLINES: JSONLinesSerializer,
}
DESERIALIZERS = {
    payload.JSON: JSONDeserializer,
    payload.JSONLINES: JSONLinesDeserializer,
    payload.CSV: CSVDeserializer,
}


def model(
    source: str | Path | sources.FoundModel,
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
    if image_uri is None:
        image(account.region, CPU, "inference")
    arn = execution_role(session, role)
    opening = (
        nullcontext(source)
        if isinstance(source, sources.FoundModel)
        else sources.model(account, source)
    )
    with opening as it:
        uri, metadata, algorithm = it.uploaded(offline), it.artifact.metadata, it.entry.algorithm
    settings = {
        "model_data": uri,
        "role": arn,
        "name": name or job_name(algorithm.name),
        "env": {**sources.HANDLERS, **(env or {})} if image_uri is None else dict(env or {}),
        "predictor_cls": _predictor_class(algorithm),
        "code_location": f"{data.root(account)}/code",
        "sagemaker_session": session,
    }
    made = Model(image_uri, **settings) if image_uri else MXNetModel(**settings, **FRAMEWORK)
    made.metadata = metadata
    made.add_tags(tags.tags(algorithm.name, account.run))  # deploy takes them from there
    return made


def predictor(endpoint: str, *, algorithm: str | None = None, session: Any = None) -> Any:
    """The SDK's ``Predictor`` of ``endpoint``, which speaks the algorithm's content types.

    The algorithm is the one that the endpoint's tags name, unless it is given. Raises AwsError,
    InputError, UnknownNameError.
    """
    session = session or Session(Account())
    name = algorithm or _tagged_algorithm(account_of(session), endpoint)
    return _predictor_class(catalog().get(name).algorithm)(endpoint, session)


def _tagged_algorithm(account: Account, endpoint: str) -> str:
    """The algorithm that the tags of ``endpoint`` name."""
    with explained():
        described = account.client("sagemaker").describe_endpoint(EndpointName=endpoint)
    found = tags.of(account, described["EndpointArn"])
    if tags.ALGORITHM not in found:
        raise InputError(
            f"{endpoint}: has no tag {tags.ALGORITHM}: algoshelf did not make it; "
            "say which algorithm answers there"
        )
    return found[tags.ALGORITHM]


def _predictor_class(algorithm: AnyAlgorithm) -> Any:
    """What the SDK calls to make a predictor of the algorithm's content types."""
    accepted, answered = algorithm.accepted_media_types(), algorithm.response_media_types()
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
