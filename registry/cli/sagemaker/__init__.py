"""``algoshelf sagemaker``: jobs and endpoints in an AWS account, and what they cost.

A command's module is imported when the command is asked for, and boto3 later still.
"""

from __future__ import annotations

import importlib

import click

from ..output import SuggestingGroup

COMMANDS = (
    "setup", "doctor", "teardown",
    "train", "transform", "tune", "status", "logs",
    "deploy", "update", "models", "invoke", "register", "list", "delete", "sweep", "cost",
    "recommend",
    "web",
)  # fmt: skip
# The module of a command that is not called as its module is.
MODULES = {"list": "listing", "sweep": "delete", "teardown": "setup"}


class LazyGroup(SuggestingGroup):
    """Its commands by name; ``list`` is the function ``list_``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{MODULES.get(cmd_name, cmd_name)}")
        command = getattr(module, "list_" if cmd_name == "list" else cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup)
def sagemaker() -> None:
    """Train, tune and deploy on Amazon SageMaker, see what it costs, and clean up."""
