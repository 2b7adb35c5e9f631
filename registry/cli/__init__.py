"""cli: the command line ``algoshelf``, one module per command, all options in flags.py.

Results go to stdout, with ``--json`` as exactly one JSON document; all other messages go to
stderr. Exit codes: 0, 1 failure, 2 wrong usage or input, 3 drift
(`drift` alone), 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import signal
import sys
from typing import NoReturn

import click

from ...core.runtime.errors import AlgoshelfError
from ...core.runtime.opt_ml import report_failure
from ...core.runtime.printable import guard_streams
from ...core.runtime.signals import heeded
from .output import DebugHint, SuggestingGroup, print_json

__all__ = ["cli", "main"]


# Each command, in the order of --help: the module that has it, and the first sentence of its help.
# A module is imported with its command alone: `predict` and `serve` are to answer soon.
COMMANDS = {
    "list": ("browse:list_", "List the algorithms that are installed."),
    "info": (
        "browse:info",
        "Show what the algorithm NAME does: hyperparameters, data formats, content types, metrics.",
    ),
    "train": ("training:train", "Train the algorithm NAME on your data."),
    "tune": ("tune:tune", "Search for the best hyperparameters of the algorithm NAME."),
    "evaluate": (
        "models:evaluate",
        "Measure MODEL, a folder written by `algoshelf train`, on test examples.",
    ),
    "predict": (
        "models:predict",
        "Print the predictions of MODEL for each INPUT, a file or - for standard input.",
    ),
    "drift": (
        "drift:drift",
        "Say whether what MODEL is asked and answers has changed since a baseline, or it is noise.",
    ),
    "serve": ("serve:serve", "Serve each MODEL, a folder written by `algoshelf train`, over HTTP."),
    "transform": (
        "transform:transform",
        "Write the predictions of MODEL for every record of INPUT into the folder OUTPUT.",
    ),
    "adopt": (
        "adopt:adopt",
        "Make a model folder of a model that mxnet, Gluon or SageMaker's own algorithms trained.",
    ),
    "export": (
        "export:export",
        "Write the network of MODEL, a folder written by `algoshelf train`, as ONNX.",
    ),
    "benchmark": (
        "benchmark:benchmark",
        "Measure the training of the algorithm NAME, or compare two measurements.",
    ),
    "weights": (
        "weights:weights",
        "List, fetch, add and remove the pretrained weights that a training can begin with, by "
        "name.",
    ),
    "check": (
        "check:check",
        "Check that the algorithm NAME behaves as every algorithm must, and say what to change.",
    ),
    "doctor": (
        "doctor:doctor",
        "Check this machine: Python, mxnet, processors, GPUs, extras and disk, and say what to do.",
    ),
    "new": (
        "new:new",
        "Create a package with a small working algorithm NAME, to change into your own.",
    ),
    "package": (
        "package:package",
        "Package the algorithm NAME, or MODEL, a folder written by `algoshelf train`, for "
        "SageMaker.",
    ),
    "web": (
        "web:web",
        "Make the review app: a page on which people type a text, read the verdict, and correct "
        "it.",
    ),
    "sagemaker": (
        "sagemaker:sagemaker",
        "Train, tune and deploy on Amazon SageMaker, see what it costs, and clean up.",
    ),
}


class Commands(SuggestingGroup):
    """The group of COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def summaries(self, ctx: click.Context) -> list[tuple[str, str]]:
        return [(name, text) for name, (_, text) in COMMANDS.items()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(f".{module}", __name__), name)
        return command


@click.group(cls=Commands)
@click.version_option(package_name="algoshelf", prog_name="algoshelf")
def cli() -> None:
    """Train, evaluate and serve deep-learning algorithms by name, locally or on Amazon SageMaker.

    Start with `algoshelf list`, then for example `algoshelf train mnist-cnn`.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command and exit with its code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without blocks or dashes is no error
            stream.reconfigure(errors="replace")
    guard_streams()
    for number in heeded(signal.SIGTERM, signal.SIGHUP):  # clean up, as for Ctrl-C
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        cli.main(arguments, prog_name="algoshelf", standalone_mode=False)
        sys.stdout.flush()
    except AlgoshelfError as error:
        _fail(error.exit_code, error.code, str(error), arguments, getattr(error, "faults", None))
    except click.UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # click before 8.2 has none
            click.echo(error.format_message(), err=True)
            _exit(2)
        usage = f"\n\n{error.ctx.get_usage()}" if error.ctx else ""
        _fail(2, "wrong_usage", error.format_message() + usage, arguments)
    except click.ClickException as error:
        _fail(error.exit_code, "failed", error.format_message(), arguments)
    except (click.Abort, KeyboardInterrupt):
        _fail(130, "interrupted", "interrupted", arguments)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except SystemExit as error:
        _exit(error.code if isinstance(error.code, int) else 1)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            _fail(1, "unwritable_output", "the output cannot be written: no space left", arguments)
        _fail(1, "failed", f"{error.filename or 'output'}: {error.strerror or error}", arguments)
    except Exception as error:
        if DebugHint.wanted():
            raise
        _fail(1, "internal_error", f"{type(error).__name__}: {error}\n{DebugHint.text}", arguments)
    sys.exit(0)


def _open_closed_streams() -> None:
    """A parent may have closed them (``algoshelf … >&-``); Python then has None in their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115 - for the process
            setattr(sys, name, stream)


def _fail(
    exit_code: int, code: str, message: str, arguments: list[str], faults: object | None = None
) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    if exit_code < 128:
        report_failure(message)
    if "--json" in arguments:
        with contextlib.suppress(OSError):
            print_json({"error": {"code": code, "message": message, "faults": faults or [message]}})
    _exit(exit_code)


def _exit(code: int) -> NoReturn:
    """Exit; one of several hosts at once, since mxnet's own exit waits for the others for ever."""
    if code and _is_worker():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _is_worker() -> bool:
    """As ``cluster.is_worker``, which is imported with numpy: only who has a role need ask."""
    if "DMLC_ROLE" not in os.environ:
        return False
    from ...core.training.cluster import is_worker

    return is_worker()
