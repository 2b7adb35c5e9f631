"""--help and info are for strangers: whole sentences, and many options are grouped by their use."""

from __future__ import annotations

from typing import Iterator

import click
import pytest
from algoshelf.registry import catalog
from algoshelf.registry.cli import cli
from algoshelf.registry.cli.flags import MAX_UNGROUPED, SECTIONS

from tests.conftest import InProcess

BUILT_IN = (
    "forecasting",
    "image-classification",
    "kmeans",
    "mnist-cnn",
    "object-detection",
    "recommender",
    "tabular",
    "text-classification",
    "text-embedding",
)
ELSEWHERE = ("sagemaker", "benchmark")


def leaves(group: click.Group, title: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by the words that call it."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        if name in ELSEWHERE:
            continue
        if isinstance(command, click.Group):
            yield from leaves(command, (*title, name))
        else:
            yield " ".join((*title, name)), command


def is_sentence(text: str) -> bool:
    """Whether a text is a sentence or more; a default in brackets may follow."""
    said = text.split(" [")[0].rstrip()
    return said[:1].isupper() and said.endswith(".")


@pytest.mark.parametrize("name", sorted(name for name, _ in leaves(cli, ())))
def test_every_option_is_explained_in_whole_sentences(name: str) -> None:
    command = dict(leaves(cli, ()))[name]
    for option in command.get_params(click.Context(command)):
        if isinstance(option, click.Option):
            assert is_sentence(option.help or ""), (option.name, option.help)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_algorithm_is_described_in_whole_sentences(name: str) -> None:
    algorithm = catalog().get(name).algorithm
    texts = [algorithm.summary, *algorithm.metrics.values()]
    texts += [info.description for info in algorithm.Hyperparameters.describe()]
    for declared in (algorithm.channels, algorithm.accepts, algorithm.response_types):
        texts += [each.description for each in declared]
    wrong = [text for text in texts if not text.endswith(".")]
    assert not wrong


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_column_of_info_is_squeezed(in_process: InProcess, name: str) -> None:
    told = in_process("info", name)
    assert told.code == 0, told.stderr
    squeezed = [line for line in told.text.splitlines() if len(line.strip()) == 1]
    assert not squeezed


@pytest.mark.parametrize("name", ["train mnist-cnn", "tune kmeans", "serve", "transform"])
def test_many_options_are_grouped_by_their_use(in_process: InProcess, name: str) -> None:
    lines = in_process(*name.split(), "--help").text.splitlines()
    shown = [line[:-1] for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert len(shown) > 3
    assert shown == [title for title in SECTIONS if title in shown]
    listed = [line.split()[0] for line in lines if line.startswith("  --")]
    assert len(listed) == len(set(listed)), "an option is shown twice"


def test_few_options_stand_in_one_list(in_process: InProcess) -> None:
    text = in_process("package", "--help").text
    assert text.count("  --") <= MAX_UNGROUPED
    assert "\nOptions:\n" in text
