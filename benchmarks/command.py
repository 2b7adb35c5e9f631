"""The command line of the environment that runs a benchmark."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

ALGOSHELF = str(Path(sys.executable).with_name("algoshelf"))


def algoshelf(*arguments: object) -> Any:
    """The JSON document of one command."""
    command = [ALGOSHELF, *map(str, arguments), "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def processor_seconds() -> float:
    """Seconds of a processor that processes begun here, and ended, have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
