"""An image of one's own without Docker: what `package --as container` wrote, built and started."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

from tests.toolkits.containers import SYSTEM_PATH, Container, Host
from tests.toolkits.contract import lay_out

ENVIRONMENT = {
    "PATH": f"/opt/bin:/opt/algoshelf/bin:/opt/python/bin:{SYSTEM_PATH}",
    "LD_LIBRARY_PATH": "/opt/python/lib",  # this Python's own folder may be closed to the user
}
USER = "algoshelf:x:61813:61813::/opt/tmp:/usr/sbin/nologin"  # of `useradd` in the Dockerfile
AS_USER = "61813"


@dataclass(frozen=True)
class OwnImage:
    """The folders that the Dockerfile fills, by where they are in the image."""

    mounts: Mapping[str, Path]

    def job(
        self,
        ml: Path,
        channels: Mapping[str, Path],
        hyperparameters: Mapping[str, Any],
        *,
        host: Host | None = None,
        hosts: Sequence[Host] = (),
    ) -> Container:
        """``train`` as SageMaker starts it; hyperparameters are strings there."""
        if not ml.exists():
            ml.mkdir(parents=True)
            texts = {name: str(value) for name, value in hyperparameters.items()}
            lay_out(ml, channels, texts, host=host, hosts=hosts)
        return Container(
            ["train"], ml, environment=ENVIRONMENT, host=host, hosts=hosts, **self.options
        )

    @property
    def options(self) -> dict[str, Any]:
        """Of a container, beside its environment."""
        return {"mounts": self.mounts, "users": [USER]}


class Builder:
    """Builds images; what two of them install alike is installed once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environments: list[Path] = []

    def build(self, context: Path) -> OwnImage:
        """Runs the lines of the Dockerfile but those for the system's packages and its user."""
        installed = sorted([context / "requirements-cpu.txt", *(context / "wheels").iterdir()])
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in installed)).hexdigest()
        environment = self.folder / digest[:16]
        bin_folder = self.folder / f"{context.parent.name}-{context.name}-bin"
        if not bin_folder.exists():
            bin_folder.mkdir()
            for name in ("train", "serve"):
                shutil.copy(context / name, bin_folder)
        mounts = {
            "/opt/python": Path(sys.base_prefix),
            "/opt/algoshelf": environment,
            "/opt/bin": bin_folder,
        }
        if not environment.exists():
            self._begin(environment)
            text = (context / "Dockerfile").read_text()
            commands = re.findall(r"^RUN (.*/opt/algoshelf\b.*)$", text, re.MULTILINE)
            assert len(commands) == 2, text
            script = " && ".join(["cd /opt/build", *commands])
            build = Container(
                ["sh", "-c", script], self._empty(), environment=ENVIRONMENT,
                mounts={**mounts, "/opt/build": context},
            )  # fmt: skip
            if build.wait(600):
                shutil.rmtree(self._environments.pop())
                raise AssertionError(build.log)
        return OwnImage(mounts)

    def _begin(self, environment: Path) -> None:
        """Like another one, where there is one: pip replaces files, and never writes into one."""
        if self._environments:
            subprocess.run(["cp", "-al", self._environments[0], environment], check=True)
        else:
            environment.mkdir()
        self._environments.append(environment)

    def _empty(self) -> Path:
        folder = self.folder / "empty"
        folder.mkdir(exist_ok=True)
        return folder
