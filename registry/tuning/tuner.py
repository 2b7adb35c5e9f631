"""A tuning: trials until there are enough, then the best against the defaults with other seeds."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Sequence

from ...core.algorithm.channels import TEST
from ...core.algorithm.hyperparameters import TrainingHyperparameters
from ...core.artifact.target import remove_leftovers, staged
from ...core.data.walking import walk
from ...core.runtime.errors import InputError, TrainingError
from ...core.runtime.mx import share_threads
from ...core.training import Reporter
from .plan import Plan
from .study import Claim, Outcome, Store, Trials
from .trial import GO_ON, PRUNE, TrialProcess
from .verdict import Verdict, compare, on_test

# How often the storage is looked into while only other processes have trials running.
LOOK_SECONDS = 1.0
BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class Result:
    """How a tuning stands. ``repeats`` holds what came of each arm by seed.

    ``tested`` is a sentence on the test channel, empty without one.
    """

    plan: Plan
    outcomes: Sequence[Outcome]
    best: Outcome | None
    chosen: Outcome | None
    repeats: Mapping[str, Mapping[int, Outcome]]
    verdict: Verdict
    tested: str = ""
    over: str = ""

    @property
    def default(self) -> Outcome | None:
        return next(
            (each for each in self.outcomes if each.default and each.value is not None), None
        )


@dataclass
class _Running:
    process: TrialProcess
    claim: Claim
    trials: Trials
    started: float = field(default_factory=time.monotonic)
    epoch: int = 0


class _Over(Exception):  # noqa: N818 - it is no fault
    """The time of --max-runtime is over."""


class Tuner:
    """Carries out ``plan`` in ``store``, beside other processes that may do so too."""

    def __init__(self, plan: Plan, store: Store, reporter: Reporter) -> None:
        self.plan, self.store, self.reporter = plan, store, reporter
        self.algorithm = plan.entry.algorithm
        self.objective = self.algorithm.objective
        self.test_metric = f"{TEST}:{self.objective.metric.partition(':')[2]}"
        schema = self.algorithm.Hyperparameters
        self.defaults = schema.parse(plan.fixed)
        settings = self.defaults.model_dump(mode="json")
        varied = {each.name for each in plan.ranges}
        definition = {
            "algorithm": f"{self.algorithm.name} {self.algorithm.version}",
            **{f"range of {each.name}": str(each) for each in plan.ranges},
            "hyperparameters": {k: v for k, v in settings.items() if k not in varied},
            **{f"data of {name}": _digest(path) for name, path in plan.channels.items()},
            **{f"--{name}": value for name, value in plan.reading.written().items()},
        }
        # Only these train in epochs that the others' can be compared with.
        epochs = settings["epochs"] if issubclass(schema, TrainingHyperparameters) else None
        self.prunes = epochs is not None and "epochs" not in varied
        self.trials = Trials(
            store,
            "trials",
            self.objective,
            {**definition, "seed": plan.seed},
            plan.ranges,
            seed=plan.seed,
            epochs=epochs,
        )
        self.repeats = Trials(store, "repeats", self.objective, definition, [])
        self.models = Path(f"{store.path}.models")
        self._events: queue.Queue[tuple[Any, dict[str, Any]]] = queue.Queue()
        self._running: dict[int, _Running] = {}
        self._keys = 0
        self._deadline = time.monotonic() + (plan.max_runtime or float("inf"))
        self._waiting = False

    def run(self) -> Result:
        """All trials, then the repetitions. What is unfinished when it ends is tried anew later.

        Raises InputError or TrainingError where the defaults cannot be trained.
        """
        share_threads(self.plan.parallel)
        self.trials.ask_for(self._default_params(), default=True)
        over = ""
        done = self._done(self.trials)
        self.reporter.begin(self.plan.trials)
        self.reporter.step(done)
        if done:
            self.reporter.message(f"{done} trials are done already, and are not repeated")
        try:
            self._work(self.trials, self.plan.trials)
            if self.trials.is_exhausted:
                self.reporter.message("nothing is left to try: these are all that the ranges hold")
            self._repeat()
        except _Over:
            over = "the time of --max-runtime is over"
            self.reporter.message(f"stopping early: {over}")
        finally:
            self.reporter.end()
            self._end_all()
        return self.result(over)

    def result(self, over: str = "") -> Result:
        """How the tuning stands by what is finished."""
        best = self.trials.best()
        outcomes = self.trials.outcomes()
        default = default_of(outcomes)
        compared = best if sum(each.value is not None for each in outcomes) > 1 else None
        arms = {"default": self._repeated(0)}
        if best is not None and not best.default:
            arms["best"] = self._repeated(best.number + 1)
        of_default, of_best = arms["default"], arms.get("best", {})
        verdict = compare(self.objective, compared, default, of_default, of_best)
        tested = on_test(self.test_metric, of_default, of_best)
        chosen = default if verdict.keeps_default else best
        return Result(self.plan, outcomes, best, chosen, arms, verdict, tested, over)

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been learned yet, here or by another process."""
        return not self._done(self.trials) and not self._elsewhere(self.trials)

    def publish(self, result: Result, output: Path) -> None:
        """Put the model of the trial that ``result`` chose at ``output``."""
        if result.chosen is None:
            raise TrainingError("no trial has come to its end: there is no model")
        with self.store.alone(), staged(output) as folder:
            shutil.copytree(self._model(result.chosen.number), folder, dirs_exist_ok=True)

    def settings(self, outcome: Outcome) -> dict[str, Any]:
        """All hyperparameters of ``outcome`` (JSON types)."""
        schema = self.algorithm.Hyperparameters
        return schema.parse({**self.plan.fixed, **outcome.params}).model_dump(mode="json")

    def _default_params(self) -> dict[str, Any]:
        """The defaults that lie in their ranges; the others are no values a sampler could draw."""
        return {
            each.name: getattr(self.defaults, each.name)
            for each in self.plan.ranges
            if getattr(self.defaults, each.name) in each
        }

    def _repeat(self) -> None:
        """The best and the defaults with seeds that no trial had."""
        best = self.trials.best()
        if best is None or best.default or not self.plan.repeats:
            return
        for repetition in range(1, self.plan.repeats + 1):
            for arm in (0, best.number + 1):
                self.repeats.ask_for({"arm": arm, "seed": self.plan.seed + repetition})
        count = 2 * self.plan.repeats
        self.reporter.message(f"the best and the defaults again, with {self.plan.repeats} seeds")
        asked = [o for o in self.repeats.outcomes() if o.state == "waiting"]
        most = self._done(self.repeats) + self._elsewhere(self.repeats) + len(asked)
        self.reporter.begin(count)
        self._work(self.repeats, most)

    def _work(self, trials: Trials, most: int) -> None:
        """Start trials and hear of them until ``most`` are done, here or elsewhere."""
        exhausted = False
        while True:
            self._check_time()
            while not exhausted and len(self._running) < self.plan.parallel:
                claim = trials.claim(most)
                if claim is None:
                    exhausted = True
                else:
                    self._start(trials, claim)
            if not self._running:
                if not self._elsewhere(trials):
                    return
                if not self._waiting:
                    self.reporter.message("waiting for the trials of another process")
                    self._waiting = True
                time.sleep(min(LOOK_SECONDS, max(0.0, self._deadline - time.monotonic())))
                exhausted = False
                continue
            if self._hear():
                exhausted = False

    def _start(self, trials: Trials, claim: Claim) -> None:
        plan = self.plan
        if trials is self.repeats:
            arm, seed = int(claim.params["arm"]), int(claim.params["seed"])
            chosen = {} if arm == 0 else self._tried(arm - 1)
            output = self.models / f"repeat-{claim.number}"
        else:
            chosen, seed = claim.params, plan.seed
            output = self._model(claim.number)
        output.parent.mkdir(parents=True, exist_ok=True)
        order = {
            "algorithm": self.algorithm.name,
            "channels": {name: str(path) for name, path in plan.channels.items()},
            "hyperparameters": json.loads(json.dumps({**plan.fixed, **chosen}, default=str)),
            "seed": seed,
            "output": str(output),
            "reading": plan.reading.written(),
        }
        self._keys += 1
        self._running[self._keys] = _Running(
            TrialProcess(self._keys, order, self._events), claim, trials
        )

    def _tried(self, number: int) -> Mapping[str, Any]:
        return next(each.params for each in self.trials.outcomes() if each.number == number)

    def _hear(self) -> bool:
        """Take in the next event, or the end of the time; whether a trial ended by it."""
        try:
            wait = self._deadline - time.monotonic()
            key, event = self._events.get(timeout=None if wait == float("inf") else max(0.0, wait))
        except queue.Empty:
            return False
        running = self._running.get(key)
        if running is None:
            return False
        if "epoch" in event:
            self._answer(running, event["epoch"], event["value"])
            return False
        del self._running[key]
        running.process.end()
        self._take_in(running, event)
        return True

    def _answer(self, running: _Running, epoch: int, value: float) -> None:
        number, hopeless = running.claim.number, False
        if self.prunes and running.trials is self.trials:
            hopeless = self.trials.is_hopeless(number, epoch, value)
            self.reporter.message(
                f"trial {number}, epoch {epoch}: {self.objective.metric}={value:.6g}"
                + (": pruned" if hopeless else "")
            )
        running.process.answer(PRUNE if hopeless else GO_ON)

    def _take_in(self, running: _Running, event: Mapping[str, Any]) -> None:
        number, trials = running.claim.number, running.trials
        seconds = round(time.monotonic() - running.started, 1)
        output = running.process.output
        if "metrics" in event:
            value = float(event["metrics"][self.objective.metric])
            test = event["metrics"].get(self.test_metric) if TEST in self.plan.channels else None
            trials.finish(number, value, seconds, test)
            self._keep_best()
            self._tell_finished(running, value, seconds)
        elif running.claim.default:
            trials.interrupt(number)
            kind = InputError if event.get("input") else TrainingError
            raise kind(f"the defaults cannot be trained: {event['error']}")
        elif "error" in event:
            trials.give_up(number, seconds, event["error"])
            self.reporter.message(f"{self._name(running)} failed: {event['error']}")
        else:
            trials.give_up(number, seconds)
        if trials is self.repeats:
            shutil.rmtree(output, ignore_errors=True)
        self.reporter.step(self._done(trials))

    def _tell_finished(self, running: _Running, value: float, seconds: float) -> None:
        told = f"{self._name(running)}: {self.objective.metric}={value:.6g}"
        best = self.trials.best()
        if running.trials is self.repeats or best is None:
            self.reporter.message(f"{told} ({seconds:.1f} s)")
            return
        tried = " ".join(f"{name}={_plain(given)}" for name, given in running.claim.params.items())
        self.reporter.message(
            f"{told}, best {best.value:.6g} of trial {best.number} ({seconds:.1f} s) {tried}"
        )

    def _name(self, running: _Running) -> str:
        if running.trials is self.repeats:
            arm, seed = int(running.claim.params["arm"]), int(running.claim.params["seed"])
            return f"{f'trial {arm - 1}' if arm else 'the defaults'} with seed {seed}"
        default = " (the defaults)" if running.claim.default else ""
        return f"trial {running.claim.number}{default}"

    def _keep_best(self) -> None:
        """Of the models of trials only the best and the default are kept, and what is being made.

        A process that is killed may leave a model of which it has told nobody.
        """
        with self.store.alone():
            best = self.trials.best()
            kept = {str(best.number)} if best is not None else set()
            for outcome in self.trials.outcomes():
                if outcome.state == "running" or (outcome.state == "complete" and outcome.default):
                    kept.add(str(outcome.number))
            for outcome in self.repeats.outcomes():
                if outcome.state == "running":
                    kept.add(f"repeat-{outcome.number}")
            for path in self.models.glob("[!.]*"):
                if path.name not in kept:
                    shutil.rmtree(path, ignore_errors=True)

    def _end_all(self) -> None:
        """End what runs, and let it be tried anew."""
        for running in self._running.values():
            running.process.end()
            remove_leftovers(running.process.output)
            running.trials.interrupt(running.claim.number)
        self._running.clear()

    def _check_time(self) -> None:
        if time.monotonic() >= self._deadline:
            raise _Over

    def _model(self, number: int) -> Path:
        return self.models / str(number)

    def _done(self, trials: Trials) -> int:
        return sum(o.state in ("complete", "pruned", "failed") for o in trials.outcomes())

    def _elsewhere(self, trials: Trials) -> int:
        return sum(o.state == "running" for o in trials.outcomes())

    def _repeated(self, arm: int) -> dict[int, Outcome]:
        """What came of an arm by seed, also where that is a failure."""
        return {
            int(outcome.params["seed"]): outcome
            for outcome in self.repeats.outcomes()
            if outcome.params["arm"] == arm and outcome.state in ("complete", "failed")
        }


def default_of(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The trial of the defaults, once it is done."""
    return next((each for each in outcomes if each.default and each.value is not None), None)


def _digest(path: Path) -> str:
    """The SHA-256 of the names and the content of a channel's files."""
    found = hashlib.sha256()
    for name, file in walk(path).files.items():
        name = name if path.is_dir() else "."
        found.update(os.fsencode(f"{name}\0{file.stat().st_size}\0"))
        with file.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                found.update(block)
    return found.hexdigest()


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
