"""The SDK's estimators and tuners, fully set up for an algorithm of the catalog."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any, Mapping

from ...core.algorithm.declaration import BENCHMARK, SEED
from ...core.algorithm.hyperparameters import Search
from ...core.algorithm.search_space import Range, tunable
from ...core.benchmark import Task
from ...core.data.reading import Reading
from ...core.runtime.deprecated import renamed_argument
from ...core.runtime.errors import InputError
from ...core.training.options import parse_seed
from ..discovery import catalog
from ..packaging import kinds
from . import checks, data, jobs, tags
from .account import Account
from .instances import TRAINING
from .jobs import MAX_RUN_SECONDS
from .sdk import (
    FRAMEWORK,
    CategoricalParameter,
    ContinuousParameter,
    Estimator,
    HyperparameterTuner,
    IntegerParameter,
    MXNet,
    Session,
    account_of,
    execution_role,
    image,
    job_name,
)

LOCAL, LOCAL_ROLE = "local", "arn:aws:iam::000000000000:role/local-mode-needs-none"


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
    benchmark: Task | None = None,
    source_dir: Path | None = None,
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
    With ``benchmark`` the job measures, keeps no checkpoints, and leaves no model but a record.
    ``source_dir`` is one that was packed before, for many estimators at once. ``reading`` is what
    is decided of tables and texts.
    ``settings`` are the SDK's, and go first; ``instance_type="local"`` is its local mode. Raises
    AwsError, InputError, PluginError.
    """
    entry = catalog().get(name)
    algorithm = entry.algorithm
    given = algorithm.Hyperparameters.parse(dict(hyperparameters or {}))
    kept = given.model_dump(mode="json", include=given.model_fields_set)
    kept.update(reading.written() if reading is not None else {})
    jobs.check_hyperparameters(kept)
    if seed is not None:
        try:
            kept[SEED] = parse_seed(str(seed))
        except ValueError as error:
            raise InputError(f"{SEED}: {error}") from None
    if benchmark is not None:
        kept[BENCHMARK] = benchmark.model_dump_json()
    made: dict[str, Any] = {
        "instance_type": instance_type,
        "instance_count": instance_count,
        "hyperparameters": kept,
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
            image(account.region, instance_type, TRAINING)
        made.update(role=execution_role(session, role), sagemaker_session=session)
        made["tags"] = tags.tags(name, account.run)
        if output is not None:
            data.check_output(output)
            made.update(output_path=output, code_location=output)
        if benchmark is None:
            parent = f"{output or data.root(account)}/checkpoints"
            made["checkpoint_s3_uri"] = f"{parent}/{job_name(name)}"
        if spot:
            made.update(use_spot_instances=True, max_wait=max_wait or 2 * max_run)
    if image_uri is not None:
        return Estimator(image_uri, **{**made, **settings})
    if instance_count > 1:
        made["distribution"] = {"parameter_server": {"enabled": True}}
    made.update(entry_point=kinds.ENTRY_POINT, **FRAMEWORK)
    if source_dir is not None:
        return MXNet(**{**made, "source_dir": str(source_dir), **settings})
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


def start(estimator: Any, channels: Mapping[str, str], name: str) -> None:
    """Ask for the training job ``name`` without waiting for it.

    The SDK's telemetry, switched off too, swallows Ctrl-C by a return in a finally: then no job is
    known, and KeyboardInterrupt is raised here.
    """
    estimator.fit(channels, wait=False, job_name=name)
    if estimator.latest_training_job is None:
        raise KeyboardInterrupt


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


def _parameter(found: Range) -> Any:
    """A range as the SDK takes it."""
    if found.kind == "choice":
        return CategoricalParameter(list(found.choices))
    kind = IntegerParameter if found.kind == "int" else ContinuousParameter
    return kind(found.low, found.high, "Logarithmic" if found.log else "Linear")
