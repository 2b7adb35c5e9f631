"""``list`` and ``info``: show the catalog, without importing mxnet."""

from __future__ import annotations

from typing import Any

import click

from ..describe import describe, summarize
from ..discovery import Catalog, catalog
from ..lacking import install_command
from .output import console, json_option, print_json, print_table


@click.command(name="list")
@click.option(
    "--task", metavar="TASK", help="Show only algorithms for this task, such as clustering."
)
@json_option
def list_(task: str | None, as_json: bool) -> None:
    """List the algorithms that are installed."""
    everything = catalog()
    rows = [summarize(entry) for entry in everything if task in (None, entry.algorithm.task)]
    report_problems(everything)
    if as_json:
        problems = [vars(problem) for problem in everything.problems]
        print_json({"algorithms": rows, "problems": problems})
        return
    if not rows:
        tasks = sorted({entry.algorithm.task for entry in everything})
        click.echo(f"no algorithm for the task {task!r}; tasks are {', '.join(tasks)}", err=True)
        return
    columns = ("name", "task", "summary", "distribution")
    print_table(console(), columns, [[row[column] for column in columns] for row in rows])
    for row in rows:
        if row["lacks"]:
            command = install_command(everything.get(row["name"]))
            click.echo(
                f"{row['name']} needs {', '.join(row['lacks'])}, not installed: {command}", err=True
            )


@click.command()
@click.argument("name")
@json_option
def info(name: str, as_json: bool) -> None:
    """Show what the algorithm NAME does: hyperparameters, data formats, content types, metrics.

    Example: algoshelf info mnist-cnn
    """
    details = describe(catalog().get(name))
    if as_json:
        print_json(details)
    else:
        _print_details(details)


def _figures(row: dict[str, Any]) -> str:
    """What is known of how good weights are."""
    published = [f"published: {row['accuracy']}"] if row["accuracy"] else []
    measured = [f"measured here: {row['measured']}"] if row["measured"] else []
    return "; ".join(published + measured) or "-"


def report_problems(everything: Catalog) -> None:
    for problem in everything.problems:
        click.echo(f"warning: {problem}", err=True)


def _print_details(details: dict[str, Any]) -> None:
    from rich.text import Text

    out = console()

    def section(title: str) -> None:
        out.print(Text(f"\n{title}", "bold"))

    origin = f"{details['task']}, version {details['version']}, from {details['distribution']}"
    out.print(Text.assemble((details["name"], "bold"), f"  {origin}"))
    out.print(details["summary"])
    if details["aliases"]:
        out.print(f"Also found as {', '.join(details['aliases'])}.")
    if details["lacks"]:
        command = install_command(catalog().get(details["name"]))
        out.print(f"Not installed: {', '.join(details['lacks'])}. To install: {command}")
    section("Hyperparameters")
    rows: list[list[Any]] = [
        [
            f"--{info['name'].replace('_', '-')}",
            info["type"],
            info["default"],
            info["range"],
            info["description"],
        ]
        for info in details["hyperparameters"]
    ]
    print_table(out, ("flag", "type", "default", "range", "meaning"), rows)
    section("Data channels")
    print_table(
        out,
        ("flag", "", "meaning"),
        [
            [
                f"--{channel['name']}",
                "required" if channel["required"] else "",
                channel["description"],
            ]
            for channel in details["channels"]
        ],
    )
    formats = dict.fromkeys(text for channel in details["channels"] for text in channel["formats"])
    section("File formats")
    for text in formats:
        out.print(f"- {text}")
    if details["sample"]:
        out.print(f"A sample is bundled for the channels {', '.join(details['sample'])}.")
    for title, key in (
        ("Content types of requests", "accepts"),
        ("Content types of responses", "answers"),
    ):
        section(title)
        rows = [
            [
                content["name"],
                content["description"],
                content["example"],
            ]
            for content in details[key]
        ]
        print_table(out, ("content type", "meaning", "example"), rows)
        for text in dict.fromkeys(text for each in details[key] for text in each["parameters"]):
            out.print(f"Parameter of the content type: {text}", markup=False)
    section("Metrics")
    print_table(out, ("name", "meaning"), list(details["metrics"].items()))
    aim = "highest" if details["objective"]["maximize"] else "lowest"
    out.print(
        f"The objective, which tuning aims for, is the {aim} {details['objective']['metric']}."
    )
    section("KVStores (how gradients are summed)")
    print_table(out, ("name", "chosen by default for"), list(details["kvstores"].items()))
    if details["weights"]:
        section("Pretrained weights (--weights)")
        rows = [
            [r["name"], r["network"], r["licence"], r["state"], r["trained_on"], _figures(r)]
            for r in details["weights"]
        ]
        columns = ("name", "network", "licence", "here", "trained on", "accuracy")
        print_table(out, columns, rows)
    if details["published"]:
        section("Published results")
        rows = [[r["metric"], r["value"], r["data"], r["source"]] for r in details["published"]]
        print_table(out, ("metric", "value", "data", "source"), rows)
