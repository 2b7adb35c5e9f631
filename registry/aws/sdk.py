"""The SageMaker SDK, set up for an account: its session, images and roles.

The one module that imports ``sagemaker``: version 2, the last that knows MXNet
(docs/decisions/0012-sagemaker.md).
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from ...core.runtime.errors import InputError, MissingDependencyError
from . import checks, names
from .account import ROLE_VARIABLE, Account, explained

os.environ.setdefault("SAGEMAKER_SUPPRESS_V2_WARNING", "1")  # version 2 is what is wanted
_CONFIG_LOG = logging.getLogger("sagemaker.config")
if not _CONFIG_LOG.handlers:  # or the SDK would tell on stdout where it found no defaults
    _CONFIG_LOG.addHandler(logging.StreamHandler(sys.stderr))
    _CONFIG_LOG.setLevel(logging.WARNING)
_ROOT = logging.getLogger()
_AS_IT_WAS = _ROOT.level, _ROOT.handlers[:]
try:
    # Those that are imported as themselves are for estimator.py and predictor.py.
    import sagemaker
    from sagemaker import image_uris
    from sagemaker.config import load_sagemaker_config
    from sagemaker.deserializers import BytesDeserializer as BytesDeserializer
    from sagemaker.deserializers import CSVDeserializer as CSVDeserializer
    from sagemaker.deserializers import JSONDeserializer as JSONDeserializer
    from sagemaker.deserializers import JSONLinesDeserializer as JSONLinesDeserializer
    from sagemaker.estimator import Estimator as Estimator
    from sagemaker.model import Model as Model
    from sagemaker.mxnet import MXNet as MXNet
    from sagemaker.mxnet import MXNetModel as MXNetModel
    from sagemaker.parameter import CategoricalParameter as CategoricalParameter
    from sagemaker.parameter import ContinuousParameter as ContinuousParameter
    from sagemaker.parameter import IntegerParameter as IntegerParameter
    from sagemaker.predictor import Predictor as Predictor
    from sagemaker.serializers import CSVSerializer as CSVSerializer
    from sagemaker.serializers import IdentitySerializer as IdentitySerializer
    from sagemaker.serializers import JSONLinesSerializer as JSONLinesSerializer
    from sagemaker.serializers import JSONSerializer as JSONSerializer
    from sagemaker.serializers import NumpySerializer as NumpySerializer
    from sagemaker.tuner import HyperparameterTuner as HyperparameterTuner
    from sagemaker.utils import name_from_base
except ImportError:
    raise MissingDependencyError(
        "this needs the SageMaker SDK, version 2: pip install 'algoshelf[sagemaker]'"
    ) from None
finally:  # its import sets up the log of the whole process, to tell everybody's INFO
    _ROOT.setLevel(_AS_IT_WAS[0])
    _ROOT.handlers[:] = _AS_IT_WAS[1]

FRAMEWORK = {"framework_version": "1.9.0", "py_version": "py38"}  # of AWS's last MXNet image


class Session(sagemaker.Session):  # type: ignore[misc]
    """The SDK's session in ``account``: it sends no telemetry, and speaks on stderr alone."""

    def __init__(self, account: Account) -> None:
        self.account = account
        account.boto.events.register("request-created.sts", _to_named_endpoint)
        super().__init__(boto_session=account.boto, sagemaker_config=_config())


def job_name(algorithm: str, *, tuning: bool = False) -> str:
    """A name for a new job: the algorithm's, with the time."""
    most = names.MAX_TUNING_NAME if tuning else names.MAX_NAME
    return str(name_from_base(algorithm, max_length=most, short=tuning))


def image(region: str, instance: str, scope: str) -> str:
    """The URI of AWS's MXNet image for ``scope``, "training" or "inference", on ``instance``.

    Raises InputError where AWS has none in the region.
    """
    try:
        return str(
            image_uris.retrieve(
                "mxnet",
                region,
                version=FRAMEWORK["framework_version"],
                py_version=FRAMEWORK["py_version"],
                instance_type=instance,
                image_scope=scope,
            )
        )
    except ValueError:
        raise InputError(
            f"{region}: AWS has no image of MXNet in this region: choose another --region, or "
            "give an image of your own (--image; `algoshelf package --as container`)"
        ) from None


def execution_role(session: Any, given: str | None = None) -> str:
    """The ARN of the role that jobs and endpoints act in: ``given``, ALGOSHELF_ROLE, or one's own.

    Raises InputError where there is none, or SageMaker may not assume it.
    """
    role = given or os.environ.get(ROLE_VARIABLE)
    if not role:
        try:
            with explained():
                role = str(sagemaker.get_execution_role(session))
        except ValueError:  # these are no role's credentials
            raise InputError(
                f"no role for the job to act in: give --role, or set {ROLE_VARIABLE}, to one that "
                f"{checks.TRUSTED} may assume; docs/sagemaker.md shows how to create it"
            ) from None
    return checks.role(account_of(session), role)


def account_of(session: Any) -> Account:
    """The account that a session of the SDK acts in."""
    if isinstance(session, Session):
        return session.account
    return Account(boto=session.boto_session)


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
