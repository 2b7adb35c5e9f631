"""Progress in a log: by time, not by steps, and never on stdout."""

from __future__ import annotations

import io

from algoshelf.core.training.reporting import SILENCE, LogReporter


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_log_is_not_silent_within_an_epoch() -> None:
    clock, stream = Clock(), io.StringIO()
    log = LogReporter(stream, clock=clock)
    log.begin(4000)
    for step in range(1, 101):  # a step a second
        clock.now += 1
        log.step(step)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "10 of 4,000 steps, 0%, after 10 s"
    assert len(lines) == 100 // SILENCE


def test_a_log_that_speaks_tells_no_progress_besides() -> None:
    clock, stream = Clock(), io.StringIO()
    log = LogReporter(stream, clock=clock)
    log.begin(4000)
    for step in range(1, 101):
        clock.now += 1
        log.step(step)
        if step % 5 == 0:
            log.metrics({"train:loss": 0.5}, epoch=step // 5, step=step)
    assert len(stream.getvalue().splitlines()) == 20


def test_a_training_of_days_fills_no_log() -> None:
    clock, stream = Clock(), io.StringIO()
    log = LogReporter(stream, unit="trials", clock=clock)
    log.begin(3 * 86_400)
    for step in range(3 * 86_400):
        clock.now += 1
        log.step(step)
    lines = stream.getvalue().splitlines()
    assert 100 < len(lines) < 500
    assert " trials, " in lines[-1]
