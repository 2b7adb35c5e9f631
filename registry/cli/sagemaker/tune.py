"""``sagemaker tune NAME``: a hyperparameter tuning job."""

from __future__ import annotations

from functools import partial

import click

from ..flags import AlgorithmGroup
from .request import job_command


@click.group(
    cls=AlgorithmGroup,
    make=partial(job_command, tuning=True),
    subcommand_metavar="NAME [OPTIONS]",
)
def tune() -> None:
    """Search for good hyperparameters of the algorithm NAME in a SageMaker tuning job.

    The hyperparameters that you give stay as they are; the job searches the others.
    """
