"""The SageMaker SDK's own objects, fully set up for an algorithm of the catalog: an option.

For programs written for AWS's SDK; the command line needs none of this, but boto3 alone. The one
module that imports ``sagemaker``: version 2, the last that knows MXNet, which AWS ends on
2027-07-06 (extra ``sagemaker-sdk``, docs/decisions/0023-sagemaker-by-boto3.md).
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import weakref
from pathlib import Path
from typing import Any, Mapping

from ...core import payload
from ...core.algorithm.hyperparameters import Search
from ...core.algorithm.search_space import Range, tunable
from ...core.data.reading import Reading
from ...core.runtime.deprecated import renamed_argument
from ...core.runtime.errors import InputError, MissingDependencyError
from ...core.training.options import parse_seed
from ..discovery import AnyAlgorithm, catalog
from ..packaging import kinds
from . import checks, data, images, jobs, names, sources, tags
from .account import Account, explained
from .instances import CPU, TRAINING
from .jobs import MAX_RUN_SECONDS

os.environ.setdefault("SAGEMAKER_SUPPRESS_V2_WARNING", "1")  # version 2 is what is wanted
_CONFIG_LOG = logging.getLogger("sagemaker.config")
if not _CONFIG_LOG.handlers:  # or the SDK would tell on stdout where it found no defaults
    _CONFIG_LOG.addHandler(logging.StreamHandler(sys.stderr))
    _CONFIG_LOG.setLevel(logging.WARNING)
_ROOT = logging.getLogger()
_AS_IT_WAS = _ROOT.level, _ROOT.handlers[:]
try:
    import sagemaker
    from sagemaker import deserializers, parameter, serializers
    from sagemaker.config import load_sagemaker_config
    from sagemaker.estimator import Estimator
    from sagemaker.model import Model
    from sagemaker.mxnet import MXNet, MXNetModel
    from sagemaker.predictor import Predictor
    from sagemaker.tuner import HyperparameterTuner
except ImportError:
    raise MissingDependencyError(
        "registry.estimator, model, predictor and tuner return objects of AWS's SageMaker SDK, "
        "version 2, which is not installed: pip install 'algoshelf[sagemaker-sdk]'; "
        "`algoshelf sagemaker` works without it"
    ) from None
finally:  # its import sets up the log of the whole process, to tell everybody's INFO
    _ROOT.setLevel(_AS_IT_WAS[0])
    _ROOT.handlers[:] = _AS_IT_WAS[1]

FRAMEWORK = {"framework_version": images.MXNET, "py_version": images.PYTHON}
LOCAL, LOCAL_ROLE = "local", "arn:aws:iam::000000000000:role/local-mode-needs-none"
# By content type, the handiest first.
SERIALIZERS = {
    payload.NPY: serializers.NumpySerializer,
    payload.JSON: serializers.JSONSerializer,
    payload.CSV: serializers.CSVSerializer,
    payload.JSONLINES: serializers.JSONLinesSerializer,
}
DESERIALIZERS = {
    payload.JSON: deserializers.JSONDeserializer,
    payload.JSONLINES: deserializers.JSONLinesDeserializer,
    payload.CSV: deserializers.CSVDeserializer,
}


class Session(sagemaker.Session):  # type: ignore[misc]
    """The SDK's session in ``account``: it sends no telemetry, and speaks on stderr alone."""

    def __init__(self, account: Account) -> None:
        self.account = account
        account.boto.events.register("request-created.sts", _to_named_endpoint)
        super().__init__(boto_session=account.boto, sagemaker_config=_config())


def estimator(
    name: str,
    *,
    instance_type: str,
    role: str | None = None,
    instance_count: int = 1,
    hyperparameters: Mapping[str, Any] | None = None,
    seed: int | None = None,
    image_uri: str | None = None,
    spot: bool = False,
    max_run: int = MAX_RUN_SECONDS,
    max_wait: int | None = None,
    output: str | None = None,
    offline: bool = False,
    reading: Reading | None = None,
    session: Any = None,
    **settings: Any,
) -> Any:
    """The algorithm ``name`` as the SDK's own ``MXNet``, or its ``Estimator`` for an own image.

    Script mode packs what AWS's image lacks into a ``source_dir`` that lasts as long as the
    estimator does. ``hyperparameters`` are checked by the algorithm's schema, ``instance_type`` for
    what MXNet runs on. Several hosts train over a parameter server, and checkpoints go to S3, so
    that an interrupted job goes on: one estimator is for one training, with one set of
    hyperparameters and data. With ``spot``, AWS may take until ``max_wait`` seconds, twice
    ``max_run`` by default. ``output`` is where everything goes, an S3 URI [the SDK's own bucket].
    ``reading`` is what is decided of tables and texts.
    ``settings`` are the SDK's, and go first; ``instance_type="local"`` is its local mode. Raises
    AwsError, InputError, PluginError.
    """
    entry = catalog().get(name)
    algorithm = entry.algorithm
    given = algorithm.Hyperparameters.parse(dict(hyperparameters or {}))
    try:
        seed = None if seed is None else parse_seed(str(seed))
    except ValueError as error:
        raise InputError(f"seed: {error}") from None
    made: dict[str, Any] = {
        "instance_type": instance_type,
        "instance_count": instance_count,
        "hyperparameters": jobs.hyperparameters(given, reading or Reading(), seed=seed),
        "max_run": max_run,
        "metric_definitions": jobs.metric_definitions(algorithm),
        "base_job_name": name,
        "disable_profiler": True,  # which profiles nothing of MXNet's, and costs
        "debugger_hook_config": False,
    }
    if instance_type.startswith(LOCAL):
        made.update(role=role or LOCAL_ROLE, sagemaker_session=session)
    else:
        checks.instance(instance_type, TRAINING, hosts=instance_count, hyperparameters=given)
        session = session or Session(Account())
        account = account_of(session)
        if image_uri is None:
            images.image(account.region, instance_type, TRAINING)
        made.update(role=checks.execution_role(account, role), sagemaker_session=session)
        made["tags"] = tags.signed(account, tags.tags(name, account.run))
        if output is not None:
            data.check_output(output)
            made.update(output_path=output, code_location=output)
        parent = f"{output or data.root(account)}/checkpoints"
        made["checkpoint_s3_uri"] = f"{parent}/{names.timed(name)}"
        if spot:
            made.update(use_spot_instances=True, max_wait=max_wait or 2 * max_run)
    if image_uri is not None:
        return Estimator(image_uri, **{**made, **settings})
    if instance_count > 1:
        made["distribution"] = {"parameter_server": {"enabled": True}}
    made.update(entry_point=kinds.ENTRY_POINT, **FRAMEWORK)
    folder = Path(tempfile.mkdtemp(prefix="algoshelf-"))
    try:
        kinds.script(entry, folder, offline=offline)
        made["source_dir"] = str(folder)
        found = MXNet(**{**made, **settings})
    except BaseException:
        shutil.rmtree(folder)
        raise
    weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)
    return found


@renamed_argument("searched", "search_space")
def tuner(
    name: str,
    *,
    max_jobs: int = 10,
    max_parallel_jobs: int = 1,
    strategy: str = "Bayesian",
    hyperparameters: Mapping[str, Any] | None = None,
    search_space: Mapping[str, Search] | None = None,
    **settings: Any,
) -> Any:
    """The SDK's ``HyperparameterTuner`` of the algorithm ``name``, for its own objective.

    It tries the ranges that the algorithm's schema states, or those of ``search_space``, without
    what ``hyperparameters`` decides. ``settings`` are those of ``estimator``. Its jobs keep no
    checkpoints in S3, where they would mistake each other's for theirs. Raises what ``estimator``
    does, and InputError where nothing is left to tune.
    """
    algorithm = catalog().get(name).algorithm
    ranges = tunable(algorithm.Hyperparameters, hyperparameters, search_space)
    if not ranges:
        raise InputError(f"{name}: nothing is left to tune: give fewer hyperparameters")
    tuned = estimator(name, hyperparameters=hyperparameters, **settings)
    tuned.checkpoint_s3_uri = settings.get("checkpoint_s3_uri")
    return HyperparameterTuner(
        tuned,
        algorithm.objective.metric,
        {each.name: _parameter(each) for each in ranges},
        metric_definitions=tuned.metric_definitions,
        objective_type="Maximize" if algorithm.objective.maximize else "Minimize",
        strategy=strategy,
        max_jobs=max_jobs,
        max_parallel_jobs=max_parallel_jobs,
        base_tuning_job_name=name,
        tags=tuned.tags,
    )


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
    if image_uri is None:
        images.image(account.region, CPU, images.INFERENCE)
    arn = checks.execution_role(account, role)
    with sources.model(account, source) as it:
        uri, metadata, algorithm = it.uploaded(offline), it.artifact.metadata, it.entry.algorithm
    settings = {
        "model_data": uri,
        "role": arn,
        "name": name or names.timed(algorithm.name),
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


def account_of(session: Any) -> Account:
    """The account that a session of the SDK acts in."""
    if isinstance(session, Session):
        return session.account
    return Account(boto=session.boto_session)


def _parameter(found: Range) -> Any:
    """A range as the SDK takes it."""
    if found.kind == "choice":
        return parameter.CategoricalParameter(list(found.choices))
    integer = found.kind == "int"
    kind = parameter.IntegerParameter if integer else parameter.ContinuousParameter
    return kind(found.low, found.high, "Logarithmic" if found.log else "Linear")


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
    fallback = serializers.IdentitySerializer, deserializers.BytesDeserializer

    def make(endpoint_name: str, sagemaker_session: Any = None, **more: Any) -> Any:
        return Predictor(
            endpoint_name,
            sagemaker_session,
            serializer=SERIALIZERS[takes]() if takes else fallback[0](accepted[0]),
            deserializer=DESERIALIZERS[gives]() if gives else fallback[1](answered[0]),
            **more,
        )

    return make


def _config() -> dict[str, Any]:
    """The user's defaults for the SDK, without its telemetry."""
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
