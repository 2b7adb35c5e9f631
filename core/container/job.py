"""A training job in a SageMaker container: from SageMaker's files to the model, and its exit code.

AWS's toolkit runs a script with the hyperparameters as ``--name value`` and the folders in SM_*
variables; in an image of one's own the same stands in files under /opt/ml. Either is read here.
"""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from pathlib import Path
from typing import Any, Collection, Mapping, NoReturn, Sequence

from ..algorithm.base import Algorithm
from ..algorithm.channels import MODEL
from ..algorithm.declaration import BENCHMARK, CHECKPOINT_EVERY, SEED
from ..benchmark import Task, measure_job
from ..data.files import entries
from ..data.leftovers import is_no_data
from ..data.reading import Reading
from ..data.reading_flags import FLAGS as READING_FLAGS
from ..runtime import opt_ml as container
from ..runtime.errors import AlgoshelfError, InputError, Stopped
from ..training import RunOptions, parse_duration, parse_seed, train
from ..training.cluster import is_worker
from ..training.launch import run_host
from ..weights import PACKED, is_folder

CHANNEL_VARIABLE = "SM_CHANNEL_"
# Hyperparameters of the job, beside those of the algorithm.
READING = tuple(name for name, _, _ in READING_FLAGS)  # how tables and texts are read
# AWS's toolkit hands no SIGTERM on: a job that is stopped loses what it learned since the last one.
CHECKPOINT_SECONDS = "5m"


def run(algorithm: Algorithm[Any], distribution: str = "") -> NoReturn:
    """Train ``algorithm``, and end the process: by 0, or with the reason in the failure file by 1.

    The hyperparameters are this process's arguments, or where it has none in their file: the
    algorithm's, and those of the job: ``seed``, ``checkpoint_every``, a time such as 90s or 10m,
    ``benchmark``, a Task as JSON, which is measured in place of one training, and those of
    data/reading.py, such as ``delimiter``, but where the algorithm has one of that name. A training
    that a signal stopped has kept a checkpoint, and ends by 128 and its number.
    """
    code = 0
    try:
        arguments = sys.argv[1:]
        given = _from_arguments(arguments) if arguments else _from_file()
        code = _train(algorithm, given, distribution)
    except Stopped as stopped:
        code = stopped.exit_code
        _say(str(stopped))
    except AlgoshelfError as error:
        code = 1
        _tell(str(error))
    except BaseException as error:
        code = 1
        traceback.print_exc()
        _tell(f"{type(error).__name__}: {error}")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # mxnet's own exit waits for other hosts, which may have failed, for ever


def _from_arguments(arguments: Sequence[str]) -> dict[str, str]:
    """``--name value …`` as AWS's toolkit writes it, a name of one letter with one hyphen.

    Raises InputError for anything else.
    """
    names, values = arguments[::2], arguments[1::2]
    odd = [name for name in names if not re.fullmatch(r"--?[A-Za-z][\w-]*", name)]
    if odd or len(names) > len(values):
        raise InputError(f"expected --name value …, got {' '.join(arguments)!r}")
    given = [name.lstrip("-").replace("-", "_") for name in names]
    twice = sorted({name for name in given if given.count(name) > 1})
    if twice:
        raise InputError(*(f"{name}: given twice" for name in twice))
    return dict(zip(given, values))


def _from_file() -> dict[str, str]:
    """What ``hyperparameters.json`` holds, without what the SDKs put there for the toolkits.

    Raises InputError where it is malformed.
    """
    path = container.base() / "input" / "config" / "hyperparameters.json"
    content = _json_object(path)
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in content.items()
        if not name.startswith(("sagemaker_", "_"))
    }


def _channels(algorithm: Algorithm[Any]) -> dict[str, Path]:
    """The job's channels by name, each a folder, or the only file in it.

    SageMaker knows folders alone, and an algorithm may read files alone. Raises InputError for a
    channel in Pipe mode.
    """
    config = _json_object(container.base() / "input" / "config" / "inputdataconfig.json")
    piped = [
        name
        for name, channel in config.items()
        if isinstance(channel, dict) and channel.get("TrainingInputMode") == "Pipe"
    ]
    if piped:
        raise InputError(
            *(
                f"the channel {name!r} comes in Pipe mode, which can be read only once: "
                "choose the input mode FastFile, or File"
                for name in piped
            )
        )
    named = {
        variable[len(CHANNEL_VARIABLE) :].lower(): Path(path)
        for variable, path in os.environ.items()
        if variable.startswith(CHANNEL_VARIABLE)
    }
    folders = named or {name: container.base() / "input" / "data" / name for name in config}
    if container.CODE not in {channel.name for channel in algorithm.channels}:
        folders.pop(container.CODE, None)
    found = {name: _only_file(folder) or folder for name, folder in folders.items()}
    packed = [place for place in _packed() if is_folder(place)]
    if packed and MODEL in {channel.name for channel in algorithm.channels}:
        found.setdefault(MODEL, packed[0])
    return found


def _packed() -> Sequence[Path]:
    """Where `algoshelf package --weights` has put them: beside the script, or in the image."""
    return (Path(sys.argv[0]).absolute().parent / PACKED, Path(sys.prefix) / PACKED)


def _only_file(folder: Path) -> Path | None:
    inside = entries(folder) if folder.is_dir() else []
    inside = [entry for entry in inside if not is_no_data(entry.name)]
    return inside[0] if len(inside) == 1 and inside[0].is_file() else None


def _json_object(path: Path) -> dict[str, Any]:
    """What ``path`` holds; empty where there is no such file. Raises InputError."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object")
    return content


def _train(algorithm: Algorithm[Any], given: Mapping[str, str], distribution: str) -> int:
    """The exit code; 0 but where other processes, one of which failed, train in place of this."""
    values = dict(given)
    own = {info.name for info in algorithm.Hyperparameters.describe()}
    seed, options, task, faults = _job_options(values, own)
    paths = _channels(algorithm)
    try:
        parsed = algorithm.Hyperparameters.parse({**algorithm.implied(paths), **values})
    except InputError as error:
        raise InputError(*error.faults, *faults) from None
    if faults:
        raise InputError(*faults)
    hosts = container.hosts()
    if hosts is not None and len(hosts.names) > 1 and not is_worker():
        return 1 if run_host([sys.executable, *sys.argv], hosts, _say) else 0
    model = Path(os.environ.get("SM_MODEL_DIR") or container.base() / "model")
    if task is not None:
        measure_job(algorithm, paths, parsed, task, model, distribution, options.reading)
        return 0
    train(
        algorithm,
        paths,
        parsed,
        model,
        seed=seed,
        options=options,
        distribution=distribution,
    )
    return 0


def _job_options(
    values: dict[str, str], own: Collection[str]
) -> tuple[int, RunOptions, Task | None, list[str]]:
    """The seed, the options of the run, what to measure, and the faults; taken out of ``values``.

    What to measure is None where there is to be one training. ``own`` are the algorithm's names.
    """
    faults: list[str] = []
    task = None
    every = 0.0
    seed = 1
    try:
        seed = parse_seed(values.pop(SEED, "1"))
    except ValueError as error:
        faults.append(f"{SEED}: {error}")
    text = values.pop(CHECKPOINT_EVERY, CHECKPOINT_SECONDS)
    try:
        every = parse_duration(text)
    except ValueError:
        faults.append(f"{CHECKPOINT_EVERY}: expected a time such as 90s, 10m, 1h, got {text!r}")
    try:
        if BENCHMARK in values:
            task = Task.parse(values.pop(BENCHMARK))
    except ValueError as error:
        faults.append(f"{BENCHMARK}: {error}")
    reading = Reading()
    try:
        decided = [name for name in READING if name in values and name not in own]
        reading = Reading.parse({name: _unquoted(values.pop(name)) for name in decided})
    except InputError as error:
        faults += error.faults
    folder = container.base() / "checkpoints"
    options = RunOptions(checkpoints=folder, checkpoint_every=every, reading=reading)
    return seed, options, task, faults


def _unquoted(text: str) -> str:
    """A text as it was before the SDK wrote it as JSON."""
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return str(json.loads(text)) if quoted else text


def _tell(reason: str) -> None:
    container.report_failure(reason)
    _say(f"error: {reason}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
