"""The flags of all commands: none is a plugin's too, and each says what it expected."""

from __future__ import annotations

from typing import Any, Iterator

import click
import pytest
from algoshelf.core.algorithm import declaration
from algoshelf.core.conformance import check_algorithm
from algoshelf.registry import catalog
from algoshelf.registry.cli import cli
from algoshelf.registry.cli.flags import AlgorithmGroup
from algoshelf.registry.flags import reserved

from tests.conftest import InProcess
from tests.registry.conftest import Site
from tests.registry.test_discovery import names, with_attributes, with_hyperparameters

ALGORITHMS = list(catalog())
COLLIDING = ("name", "role", "image", "volume", "instance", "wait", "no_wait", "benchmark", "spot",
             "dry_run", "yes", "region", "max_cost", "vary", "checkpoint_every")  # fmt: skip
GARBAGE = "80x"


def commands(group: click.Group, title: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands with what they are called, those of the catalog's algorithms too."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{title} {name}".strip())
        else:
            yield f"{title} {name}".strip(), command


COMMANDS = dict(commands(cli))


def groups(group: click.Group, title: str = "") -> Iterator[tuple[str, AlgorithmGroup]]:
    ctx = click.Context(group)
    for name in () if isinstance(group, AlgorithmGroup) else group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, AlgorithmGroup):
            yield f"{title} {name}".strip(), command
        elif isinstance(command, click.Group):
            yield from groups(command, f"{title} {name}".strip())


def flags_of(command: click.Command) -> set[str]:
    """Each flag as it may be written, and as click calls its value, if a plugin could say so."""
    found = set()
    for option in command.get_params(click.Context(command)):
        written = [*option.opts, *option.secondary_opts]
        found |= {str(option.name), *(each.lstrip("-").replace("-", "_") for each in written)}
    return set(filter(declaration.FLAG.fullmatch, found))


@pytest.mark.parametrize("entry", ALGORITHMS, ids=lambda entry: entry.algorithm.name)
def test_no_command_has_a_flag_that_is_not_reserved(entry: Any) -> None:
    own = {
        *entry.algorithm.Hyperparameters.model_fields,
        *(c.name for c in entry.algorithm.channels),
    }
    assert not own & reserved().keys()
    found = dict(groups(cli))
    assert {"train", "tune", "benchmark", "sagemaker train", "sagemaker tune"} <= found.keys()
    for title, group in found.items():
        assert flags_of(group.make(entry)) - own <= reserved().keys(), title


@pytest.mark.parametrize("kind", ["hyperparameter", "channel"])
def test_a_plugin_whose_flags_collide_is_skipped_and_the_flag_is_named(
    site: Site, kind: str
) -> None:
    if kind == "hyperparameter":
        source = with_hyperparameters("; ".join(f"{name}: int = 1" for name in COLLIDING))
    else:
        more = ", ".join(f"Channel({name!r}, 'x', ())" for name in COLLIDING)
        source = with_attributes(f"channels += ({more},)")
    site.install("acme-broken", source)
    result = site("list", "--json")
    assert names(result) == []
    (problem,) = result.json["problems"]
    assert f"{kind}s may not be called {', '.join(sorted(COLLIDING))}: " in problem["error"]
    for told in ("--name", "--no-wait", "--spot"):
        assert f"{told} of `sagemaker train`" in problem["error"]
    for told in ("of a training job", "--max-cost of `benchmark`", "--vary of `tune`"):
        assert told in problem["error"]
    checked = site("check", "acme-tabular")
    assert checked.code == 2
    assert "--role of" in checked.stderr


def test_core_takes_the_names_that_are_taken_from_whoever_knows_them() -> None:
    algorithm = type(catalog().get("kmeans").algorithm)
    assert declaration.faults(algorithm) == []
    (fault,) = declaration.faults(algorithm, {"restarts": "--restarts of `gym train`"})
    assert fault == (
        "hyperparameters may not be called restarts: algoshelf has a flag or a hyperparameter of "
        "that name (--restarts of `gym train`)"
    )
    (finding,) = check_algorithm(algorithm, only=["metadata"], reserved={"k": "--k of `gym train`"})
    assert finding.status == "failed"
    assert "--k of `gym train`" in finding.advice


def test_what_sagemaker_would_drop_is_no_name(site: Site) -> None:
    site.install("acme-broken", with_hyperparameters("sagemaker_rate: int = 1"))
    (problem,) = site("list", "--json").json["problems"]
    assert "names that begin with sagemaker_ are SageMaker's own" in problem["error"]


@pytest.mark.parametrize("title", ["train kmeans", "sagemaker train kmeans", "benchmark kmeans"])
def test_a_flag_is_never_taken_for_another_that_begins_alike(
    in_process: InProcess, title: str
) -> None:
    """Neither by its first letters nor by a single hyphen."""
    words = title.split()
    result = in_process(*words, "--restar", "3", "-k", "3", "--json")
    assert result.code == 2
    assert "--restar: no such option (did you mean '--restarts'?)" in result.stderr
    assert "-k: no such option" in result.stderr


def typed() -> Iterator[Any]:
    for title, command in COMMANDS.items():
        for option in command.params:
            if not isinstance(
                option.type, (click.types.StringParamType, click.types.BoolParamType)
            ):
                yield pytest.param(option, id=f"{title} {option.name}")


@pytest.mark.parametrize("option", list(typed()))
def test_every_typed_option_says_what_it_expected(option: click.Parameter) -> None:
    value = "" if option.type.name == "path" else GARBAGE
    with pytest.raises(click.BadParameter) as refused:
        option.type.convert(value, option, None)
    told = refused.value.format_message()
    expected = " is not " if isinstance(option.type, click.Choice) else ": expected "
    assert expected in told
    assert repr(value) in told


@pytest.mark.parametrize("title", [title for title, c in COMMANDS.items() if c.params])
@pytest.mark.parametrize("value", ["", "-1", "nan", "1e999", "٣", "9" * 400, "\x1b[2J"])
def test_no_value_of_an_option_makes_it_fail_otherwise(title: str, value: str) -> None:
    for option in COMMANDS[title].params:
        if option.type.name == "boolean":
            continue
        told = "accepted"
        try:
            option.type.convert(value, option, None)
        except click.BadParameter as error:
            told = error.format_message()
        assert told.isprintable()
        assert len(told) < 400 or isinstance(option.type, click.Choice)


def test_a_port_that_is_none(in_process: InProcess) -> None:
    result = in_process("serve", "--port", "80x")
    assert result.code == 2
    assert "'--port': expected a whole number from 0 to 65535, got '80x'" in result.stderr.replace(
        " (env var: 'SAGEMAKER_BIND_TO_PORT')", ""
    )
