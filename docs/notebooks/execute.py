"""Run the notebooks of this folder, and tell how long each took: ``make notebooks``.

    python docs/notebooks/execute.py [--write] [NAME ...]

Each is run from its script (``NAME.py``) in a folder of its own that is removed afterwards. With
``--write`` the outputs are kept in ``NAME.ipynb``, which is what is read on GitHub.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
HELPERS = ("pretended_aws.py",)
HOME = "/home/you/notebooks"  # stands for the folder that a notebook was run in
COLOURS = re.compile(r"\x1b\[[\d;]*m")
SECONDS = 600  # of one cell


def names() -> list[str]:
    return sorted(path.stem for path in HERE.glob("[0-9][0-9]-*.py"))


def read(name: str) -> Any:
    """The notebook of a script, without outputs; each cell has an id that stays."""
    notebook = jupytext.read(HERE / f"{name}.py")
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02}"
    notebook.metadata = {
        "jupytext": {"formats": "ipynb,py:percent"},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def run(name: str, environment: dict[str, str] | None = None) -> Any:
    """The notebook with its outputs. Raises nbclient's CellExecutionError where a cell fails."""
    notebook = read(name)
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        for helper in HELPERS:
            shutil.copy(HERE / helper, folder)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ALGOSHELF_"))}
        kept.update(
            PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            PYTHONDONTWRITEBYTECODE="1",
            **(environment or {}),
        )
        client = NotebookClient(
            notebook,
            timeout=SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            coalesce_streams=True,
            extra_arguments=["--IPKernelApp.log_level=40"],  # silent but for errors
        )
        client.execute(env=kept)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            _tidy(output, folder)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def _tidy(output: Any, folder: str) -> None:
    """Without the folder's name, colours, and what is said in plain words beside HTML."""
    if "text" in output:
        text = COLOURS.sub("", output["text"]).replace("\r\n", "\n")
        output["text"] = text.replace(folder, HOME)
    data = output.get("data", {})
    if {"text/html", "text/markdown", "image/png"} & data.keys():
        data.pop("text/plain", None)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the notebooks of this folder.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="[default: all]")
    parser.add_argument("--write", action="store_true", help="keep the outputs in NAME.ipynb")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(names()))
    if unknown:
        parser.error(f"no notebook {', '.join(unknown)}; there are {', '.join(names())}")
    first = _spent()
    print(f"{'notebook':<28}{'seconds':>9}{'of processors':>15}")
    for name in given.names or names():
        before = _spent()
        notebook = run(name)
        _tell(name, before)
        if given.write:
            nbformat.write(notebook, HERE / f"{name}.ipynb")
    _tell("all", first)


def _spent() -> tuple[float, float]:
    """Seconds so far, and those of processors in what has been started and has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic(), used.ru_utime + used.ru_stime


def _tell(name: str, before: tuple[float, float]) -> None:
    seconds, processors = (now - then for now, then in zip(_spent(), before))
    print(f"{name:<28}{seconds:9.1f}{processors:15.1f}", flush=True)


if __name__ == "__main__":
    main()
