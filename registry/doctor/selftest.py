"""The self-test's process: what mxnet is, and what two devices compute, in lines of JSON.

A process of its own: what a GPU's libraries do not forgive ends it, and not the doctor.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Sequence

from ...core.conformance.devices import compare
from ...core.runtime import mx
from ...core.runtime.devices import has_cuda
from ...core.runtime.types import Context
from ..discovery import catalog
from ..lacking import lacking


def contexts(text: str) -> list[Context]:
    """``gpu:0,1`` or ``cpu:0``, as mxnet has them."""
    kind, _, numbers = text.partition(":")
    return [mx.Context(kind, int(number)) for number in numbers.split(",")]


def main(arguments: Sequence[str]) -> None:
    """``probe`` tells what mxnet is; ``compare ONE OTHER`` compares those devices."""
    task, *devices = arguments
    if task == "probe":
        built = {"version": str(mx.load().__version__), "has_cuda": has_cuda()}
        print(json.dumps(built))
        return
    one, other = map(contexts, devices)
    usable = [entry for entry in catalog() if not lacking(entry)]
    for found in compare([entry.algorithm for entry in usable], one, other):
        print(json.dumps(dataclasses.asdict(found)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
