"""docs/updating.md carried out: its commands on this machine, as the test of the page runs them."""

from __future__ import annotations

import csv
import http.client
import json
import os
import shlex
import subprocess
from pathlib import Path

from tests.conftest import ROOT, Algoshelf, InProcess, Result, free_port

DOCUMENT = ROOT / "docs" / "updating.md"
CODES = {"# exits with 3": 3}
ID = "X-Amzn-SageMaker-Inference-Id"


def texts_of(path: Path) -> list[tuple[str, str]]:
    """The texts of a file of the page, with their labels."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(text, label) for text, label in rows][1:]


def carry_out(lines: list[str], folder: Path) -> None:
    """Run ``lines`` in ``folder``, and keep what they print: ``printed.json``, by line.

    Once the server is up, it is asked about the gadgets. What takes minutes is left to
    ALGOSHELF_LONG.
    """
    (folder / "algorithms").symlink_to(ROOT / "algorithms")
    port = free_port()
    printed: dict[str, str] = {}
    server = None
    try:
        for line in lines:
            command, _, remark = line.replace("8080", str(port)).partition("  #")
            if command.endswith("&"):
                server = Algoshelf(folder).start(*command.split()[1:-1])
                assert server.stderr is not None
                assert any(told.startswith("ready at") for told in server.stderr)
                ask(port, [text for text, _ in texts_of(folder / "gadgets-test.tsv")])
                server.terminate()
                server.wait(60)
                continue
            if command.startswith("algoshelf benchmark") and "ALGOSHELF_LONG" not in os.environ:
                continue
            done = _run(command.strip(), folder)
            expected = CODES.get(f"#{remark}", 0)
            assert done.code == expected, f"{line}\n{done.text}\n{done.stderr}"
            printed[line] = done.text
    finally:
        if server is not None and server.poll() is None:
            server.kill()
            server.wait()
    (folder / "printed.json").write_text(json.dumps(printed))


def _run(command: str, folder: Path) -> Result:
    name, *arguments = shlex.split(command)
    if name == "algoshelf":  # in this process, since each new one imports mxnet
        return InProcess(folder)(*arguments)
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, check=False)
    return Result(done.returncode, done.stdout, done.stderr.decode())


def ask(port: int, texts: list[str]) -> None:
    """A request for each text, whose id is its number."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for number, text in enumerate(texts):
        body = json.dumps({"instances": [text]})
        headers = {"Content-Type": "application/json", ID: f"r{number}"}
        connection.request("POST", "/invocations", body, headers)
        assert connection.getresponse().read()
    connection.close()
