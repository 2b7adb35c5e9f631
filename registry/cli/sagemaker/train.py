"""``sagemaker train NAME``: a training job."""

from __future__ import annotations

from functools import partial

import click

from ..flags import AlgorithmGroup
from .request import job_command


@click.group(
    cls=AlgorithmGroup,
    make=partial(job_command, tuning=False),
    subcommand_metavar="NAME [OPTIONS]",
)
def train() -> None:
    """Train the algorithm NAME in a SageMaker training job.

    `algoshelf sagemaker train NAME --help` shows its hyperparameters.
    """
