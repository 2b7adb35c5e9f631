"""mypy --strict on the installed wheel, as a user's type checker sees it: python check_types.py."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("algoshelf.core", "algoshelf.algorithms", "algoshelf.registry")


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        build = ["-m", "build", "--wheel", "--outdir", scratch, str(ROOT)]
        subprocess.run([sys.executable, *build], check=True, stdout=subprocess.DEVNULL)
        (wheel,) = Path(scratch).glob("*.whl")
        site = Path(scratch) / "site"
        install = ["-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(wheel)]
        subprocess.run([sys.executable, *install], check=True)
        flags = [flag for package in PACKAGES for flag in ("-p", package)]
        return subprocess.run(
            [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *flags],
            cwd=scratch,
            env={"MYPYPATH": str(site), "PATH": ""},
            check=False,
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
