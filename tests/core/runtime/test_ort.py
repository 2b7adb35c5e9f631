"""onnxruntime as it is used here: it reports to nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_onnxruntime_leaves_nothing_at_home(tmp_path: Path) -> None:
    code = "from algoshelf.core.runtime import ort; ort.library('onnxruntime')"
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    for name in ("HOME", "XDG_CACHE_HOME"):
        kept[name] = str(tmp_path)
    subprocess.run([sys.executable, "-c", code], check=True, env=kept)
    assert not list(tmp_path.iterdir())
