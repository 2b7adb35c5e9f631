"""One training of one algorithm, from checked inputs to the artifact: ``train``."""

from __future__ import annotations

import os
import random
import signal
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Mapping

import numpy as np

from ..algorithm.channels import check_channels
from ..artifact.folder import Artifact
from ..artifact.target import staged
from ..data.reading import using
from ..runtime import mx, staging
from ..runtime.devices import choose_distributed, choose_kvstore, parse_devices
from ..runtime.opt_ml import report_failure
from .checkpoints import threads_of
from .cluster import Cluster, HostCluster, is_worker, open_store
from .notebook import NotebookReporter, in_notebook
from .options import RunOptions
from .reporting import LogReporter, Reporter
from .run import H, Run, Trainable
from .stopping import Stop, finish_on_interrupt, stop_on_signals


def train(
    algorithm: Trainable[H],
    channels: Mapping[str, Path | None],
    hyperparameters: H,
    output: Path,
    *,
    seed: int = 1,
    options: RunOptions | None = None,
    reporter: Reporter | None = None,
    distribution: str = "",
    stop: Stop | None = None,
) -> tuple[Artifact | None, dict[str, float]]:
    """Train ``algorithm`` on ``channels`` (name to path) and leave the artifact at ``output``.

    Everything that can be wrong with the inputs is checked before the first step, and on any
    error nothing is left at ``output``. ``distribution`` (name and version) is noted in the
    artifact as where ``algorithm`` comes from. ``stop`` asks the run to end in place of the
    process's signals, which then are left alone. In a notebook, where no ``reporter`` is given,
    progress is shown under the cell, and an interrupt of the kernel (Ctrl-C) ends the training
    with the model of its best epoch so far. Returns the artifact and its final metrics; of
    several hosts only the chief has an artifact.
    """
    paths = check_channels(algorithm.channels, channels)
    algorithm.check_given(hyperparameters, paths)
    options = options or RunOptions()
    reporter = reporter or (NotebookReporter() if in_notebook() else LogReporter())
    told = _settle_threads(options)
    devices = parse_devices(options.devices)
    resumable = options.checkpoints is not None
    choose = choose_distributed if is_worker() else choose_kvstore
    store, why = choose(devices, options.kvstore)
    options.check_compression(store)
    cluster = Cluster()
    kvstore = None
    if is_worker() and store is not None:
        tell = reporter.message

        def fail(reason: str) -> None:
            tell(reason)
            report_failure(reason)

        cluster = HostCluster(store, options.peer_timeout, fail, options.gradient_compression)
        kvstore = cluster.store
    elif store is not None:
        kvstore = open_store(store, options.gradient_compression)
    if not cluster.is_chief:
        reporter = Reporter()
    with cluster, _stage(output, cluster) as folder, _stopping(stop, resumable) as asked:
        seed_everything(seed)
        run = Run(
            algorithm=algorithm,
            hyperparameters=hyperparameters,
            channels=paths,
            seed=seed,
            devices=devices,
            folder=folder,
            options=options,
            kvstore=kvstore,
            cluster=cluster,
            reporter=reporter,
            stop=asked,
            distribution=distribution,
        )
        where = ", ".join(map(str, devices))
        hosts = f"{cluster.count} hosts, each " if cluster.count > 1 else ""
        threads = f"{mx.threads()} thread{'s' * (mx.threads() > 1)} an operator{told}"
        reporter.message(f"seed {seed}, {hosts}on {where}, {threads}")
        if kvstore is not None:
            reporter.message(why)
        try:
            run.check_hosts()
            # names of blocks and operators count from 0 again: the same training, the same bytes
            with mx.name.NameManager(), using(options.reading, reporter.message):
                algorithm.train(run)
        finally:
            reporter.end()
            run.close()
    return (Artifact.open(output) if cluster.is_chief else None), run.metrics


def _settle_threads(options: RunOptions) -> str:
    """See ``mx.settle_threads``.

    Replicas share the processors, GPUs have no need of them, and beside a host's worker its server
    and the scheduler are just being started, who will leave them free.
    """
    plain = options.devices in ("auto", "cpu") and not is_worker()
    if options.threads is None and not plain:
        return ""
    kept = None if options.checkpoints is None else threads_of(options.checkpoints)
    return mx.settle_threads(options.threads, kept)


@contextmanager
def _stage(output: Path, cluster: Cluster) -> Iterator[Path]:
    """Where the artifact is written; what another host than the chief writes is thrown away."""
    if cluster.is_chief:
        with staged(output) as folder:
            yield folder
    else:
        with staging.stage(Path(tempfile.gettempdir()), f"algoshelf-host-{os.getuid()}") as scratch:
            yield scratch


@contextmanager
def _stopping(given: Stop | None, resumable: bool) -> Iterator[Stop]:
    if given is not None:
        yield given
    elif in_notebook():
        signals = signal.SIGTERM, signal.SIGHUP
        with stop_on_signals(resumable, signals) as stop, finish_on_interrupt(stop):
            yield stop
    else:
        with stop_on_signals(resumable) as stop:
            yield stop


def seed_everything(seed: int) -> None:
    """Of Python, numpy and mxnet."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    mx.random.seed(seed)
