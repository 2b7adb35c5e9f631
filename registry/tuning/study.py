"""The trials of a tuning in Optuna's storage, shared by processes; the sampler and the pruning.

Optuna keeps trials in SQLite, whose transactions survive ``kill -9`` (its journal file does not:
docs/decisions/0014-tuning.md). Which of them still run is told by locks that the kernel lets go of
when their process ends, in ``FILE.lock``: byte 0 is held to decide, byte N by the process N.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import math
import random
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from ...core.algorithm.base import Objective
from ...core.algorithm.search_space import Range
from ...core.runtime.errors import InputError, MissingDependencyError, OutputError
from ...core.runtime.staging import unwritable

try:
    import optuna
    from optuna.trial import FrozenTrial, TrialState
except ModuleNotFoundError as error:
    raise MissingDependencyError(
        f"tuning needs {error.name}, which is not installed: pip install 'algoshelf[tune]'"
    ) from None

# A writer waits so long for another process's transaction, each of which takes milliseconds.
PATIENCE_SECONDS = 60
# Pruning compares with the median of the others at the same epoch: it needs some of them.
COMPLETE_BEFORE_PRUNING = 5
# What was tried is not tried again: so often another is drawn, and then one of what is left, where
# all that the ranges hold is no more than this.
MAX_DRAWS, MAX_VALUES = 10, 10_000
DEFINITION, NOT_GIVEN = "definition", "not given"
# User attributes of a trial.
OWNER, ASKED, DEFAULT = "owner", "asked", "default"
INTERRUPTED, ERROR, SECONDS, TEST = "interrupted", "error", "seconds", "test"


@dataclass(frozen=True)
class Claim:
    """A trial that this process is to carry out: ``params`` are those of the ranges."""

    number: int
    params: Mapping[str, Any]
    default: bool


@dataclass(frozen=True)
class Outcome:
    """A trial as it stands: ``curve`` is the objective by epoch, ``value`` that at the end.

    ``test`` is the same figure of the test channel, where there is one.
    """

    number: int
    state: str  # waiting, running, complete, pruned, failed, interrupted
    params: Mapping[str, Any]
    default: bool
    value: float | None
    curve: Mapping[int, float]
    error: str
    seconds: float | None
    test: float | None = None


class Store:
    """The file, opened by this process; made where there is none.

    Raises OutputError where it cannot be written, InputError where it is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = open(f"{path}.lock", "a+b")  # noqa: SIM115 - for the process
        except OSError as error:
            raise OutputError(unwritable(path, error)) from None
        self.owner = random.SystemRandom().randrange(1, 2**62)
        fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self.owner)
        with self.alone():
            _check_file(path)
            self.storage = optuna.storages.RDBStorage(
                f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": PATIENCE_SECONDS}}
            )

    def close(self) -> None:
        """Close the file and release all trials that this process claimed."""
        self.storage.remove_session()
        self._lock.close()

    def discard(self) -> None:
        """Remove the file, and what lies beside it; for one that holds nothing."""
        self.close()
        shutil.rmtree(f"{self.path}.models", ignore_errors=True)
        for path in (self.path, Path(f"{self.path}.lock")):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While inside, no other process decides anything."""
        fcntl.lockf(self._lock, fcntl.LOCK_EX, 1, 0)
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, 0)

    def lives(self, owner: int) -> bool:
        """Whether the process that calls itself ``owner`` still runs."""
        if owner == self.owner:
            return True
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, owner)
        except OSError:
            return True
        fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, owner)
        return False


class Trials:
    """A list of trials in a store: what was asked for, and then what a sampler suggests.

    ``definition`` (JSON types) is what all of them have in common. Raises InputError where the
    store has another one, with each difference.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        objective: Objective,
        definition: Mapping[str, Any],
        ranges: Sequence[Range],
        *,
        seed: int = 0,
        epochs: int | None = None,
    ) -> None:
        self.store = store
        self.objective = objective
        self.sign = 1 if objective.maximize else -1
        self.seed = seed
        self.epochs = epochs
        self.ranges = ranges
        self.is_exhausted = False  # all that the ranges hold was tried
        self._mine: dict[int, optuna.Trial] = {}
        with store.alone():
            self.study = optuna.create_study(
                storage=store.storage,
                study_name=name,
                direction="maximize" if objective.maximize else "minimize",
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(
                    COMPLETE_BEFORE_PRUNING, n_warmup_steps=max(1, (epochs or 0) // 3)
                ),
            )
            self._agree(json.loads(json.dumps(definition)))

    def _agree(self, definition: Mapping[str, Any]) -> None:
        there = self.study.user_attrs.get(DEFINITION)
        if there is None:
            self.study.set_user_attr(DEFINITION, definition)
            return
        differences = [
            f"{self.store.path}: tuned with {name} {_short(there.get(name, NOT_GIVEN))}, now "
            f"{_short(definition.get(name, NOT_GIVEN))}: give another --storage"
            for name in dict.fromkeys((*there, *definition))
            if there.get(name) != definition.get(name)
        ]
        if differences:
            raise InputError(*differences)

    def ask_for(self, params: Mapping[str, Any], *, default: bool = False) -> None:
        """Let ``params`` be tried next, unless they are, were or are going to be."""
        with self.store.alone():
            for outcome in self.outcomes():
                same = outcome.default if default else outcome.params == dict(params)
                if same and outcome.state != "interrupted":
                    return
            self._enqueue(params, default)

    def claim(self, most: int) -> Claim | None:
        """The next trial, unless ``most`` are done or running; what died elsewhere comes first."""
        with self.store.alone():
            self._reap()
            outcomes = self.outcomes()
            counted = sum(each.state not in ("waiting", "interrupted") for each in outcomes)
            if counted >= most:
                return None
            if self.ranges and not any(each.state == "waiting" for each in outcomes):
                tried = [each.params for each in outcomes if each.state != "interrupted"]
                params = self._drawn(counted, tried)
                if params is None:
                    self.is_exhausted = True
                    return None
                self._enqueue(params, False)
            trial = self.study.ask()
            trial.set_user_attr(OWNER, self.store.owner)
            default = bool(trial.user_attrs.get(DEFAULT))
            asked = trial.user_attrs.get(ASKED, {})
            for each in self.ranges:
                if each.name in asked:
                    _suggest(trial, each)
            self._mine[trial.number] = trial
            return Claim(trial.number, {**asked, **trial.params}, default)

    def _drawn(self, place: int, tried: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        """What the sampler suggests at ``place`` and is not ``tried``; None where nothing is left.

        It is a function of the seed, the place and what was tried, so that a tuning that is
        resumed draws what it would have drawn. In memory, so that nothing is left of a draw that
        is not taken, or of a process that is killed over it.
        """
        known = [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state not in (TrialState.WAITING, TrialState.FAIL)
        ]
        rng = random.Random(f"{self.seed} {place}")
        for _ in range(MAX_DRAWS):
            sampler = optuna.samplers.TPESampler(seed=rng.randrange(2**32), constant_liar=True)
            draft = optuna.create_study(direction=self.study.direction, sampler=sampler)
            draft.add_trials(known)
            trial = draft.ask()
            for each in self.ranges:
                _suggest(trial, each)
            if trial.params not in tried:
                return dict(trial.params)
        values = [each.values() for each in self.ranges]
        finite = [those for those in values if those is not None]
        if len(finite) < len(values) or math.prod(map(len, finite)) > MAX_VALUES:
            return dict(trial.params)
        names = [each.name for each in self.ranges]
        every = [dict(zip(names, chosen)) for chosen in itertools.product(*finite)]
        left = [params for params in every if params not in tried]
        return rng.choice(left) if left else None

    def is_hopeless(self, number: int, epoch: int, value: float) -> bool:
        """Take in the objective after ``epoch``; whether the others were better by then."""
        trial = self._mine[number]
        trial.report(value, epoch)
        early = self.epochs is not None and epoch < self.epochs
        return early and not trial.user_attrs.get(DEFAULT) and trial.should_prune()

    def finish(self, number: int, value: float, seconds: float, test: float | None = None) -> None:
        """The trial came to its end."""
        trial = self._mine.pop(number)
        trial.set_user_attr(SECONDS, seconds)
        trial.set_user_attr(TEST, test)
        self.study.tell(trial, value)

    def give_up(self, number: int, seconds: float, error: str = "") -> None:
        """The trial was pruned, or failed by ``error``: the sampler is to keep away from there."""
        trial = self._mine.pop(number)
        trial.set_user_attr(SECONDS, seconds)
        if error:
            trial.set_user_attr(ERROR, error)
        self.study.tell(trial, state=TrialState.PRUNED)

    def interrupt(self, number: int) -> None:
        """The trial was interrupted: queue its hyperparameters again."""
        with self.store.alone():
            self._fail(self._mine.pop(number))

    def outcomes(self) -> list[Outcome]:
        """Every trial, by its number."""
        return [_outcome(trial) for trial in self.study.get_trials(deepcopy=False)]

    def best(self) -> Outcome | None:
        """The best of those that came to their end; of equals the default, then the first."""
        ended = [outcome for outcome in self.outcomes() if outcome.state == "complete"]
        return max(
            ended,
            key=lambda o: (self.sign * (o.value or 0.0), o.default, -o.number),
            default=None,
        )

    def _reap(self) -> None:
        """Mark the trials whose process is gone as failed, and queue them again."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not self.store.lives(trial.user_attrs.get(OWNER, 2**62)):
                self._fail(optuna.Trial(self.study, trial._trial_id))

    def _fail(self, trial: optuna.Trial) -> None:
        if not trial.user_attrs.get(INTERRUPTED):  # or this very place was interrupted
            params = {**trial.user_attrs.get(ASKED, {}), **trial.params}
            trial.set_user_attr(
                INTERRUPTED, True
            )  # first: it is rather drawn anew than tried twice
            self._enqueue(params, bool(trial.user_attrs.get(DEFAULT)))
        self.study.tell(trial.number, state=TrialState.FAIL)

    def _enqueue(self, params: Mapping[str, Any], default: bool) -> None:
        self.study.enqueue_trial(dict(params), user_attrs={ASKED: dict(params), DEFAULT: default})


def _check_file(path: Path) -> None:
    """Raises InputError where ``path`` is no database."""
    if not path.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=PATIENCE_SECONDS)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise InputError(f"{path}: not a storage of a tuning: {error}") from None


def _suggest(trial: optuna.Trial, each: Range) -> None:
    if each.kind == "choice":
        trial.suggest_categorical(each.name, each.choices)
    elif each.kind == "int":
        trial.suggest_int(each.name, int(each.low), int(each.high), log=each.log)
    else:
        trial.suggest_float(each.name, each.low, each.high, log=each.log)


def _outcome(trial: FrozenTrial) -> Outcome:
    attrs = trial.user_attrs
    state = trial.state.name.lower()
    if trial.state is TrialState.FAIL:
        state = "interrupted"
    elif ERROR in attrs:
        state = "failed"
    return Outcome(
        number=trial.number,
        state=state,
        params={**attrs.get(ASKED, {}), **trial.params},
        default=bool(attrs.get(DEFAULT)),
        value=trial.value if state == "complete" else None,
        curve={
            epoch: value
            for epoch, value in sorted(trial.intermediate_values.items())
            if math.isfinite(value)
        },
        error=attrs.get(ERROR, ""),
        seconds=attrs.get(SECONDS),
        test=attrs.get(TEST),
    )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else text[:79] + "…"
