"""The review app on this machine under many connections: nothing fails, nothing is lost.

    python web_app.py [--model FOLDER] [--connections 32] [--seconds 300] [--workers N]

Starts `algoshelf web MODEL --local`, with a model that is trained on the bundled sample unless
--model gives one. Each connection asks about texts of its own, and corrects one verdict in
CORRECTED. It fails unless

- every answer is 200, and the verdict of each text is that which it had when it was asked alone;
- the file of corrections has each that was acknowledged, once, as it was given, and no other;
- SIGTERM ends gateway and endpoint with code 0, and leaves no process.

The result is kept under results/, unless --no-result.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from command import ALGOSHELF
from environment import environment, results_file

CORRECTED = 10
TEXTS = (
    "a warm, funny and deeply moving film", "a dull, stupid and lifeless mess",
    "not bad, <b>not</b> good", "אחד 🎉 שניים", "the " * 200,
)  # fmt: skip
PATIENCE = 60


class Client(threading.Thread):
    """One connection, which asks and corrects until ``end``."""

    def __init__(self, port: int, number: int, end: float, verdicts: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self.number, self.end, self.verdicts = number, end, verdicts
        self.seconds: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.given: dict[str, str] = {}  # the text of each correction that was acknowledged

    def run(self) -> None:
        place = 0
        while time.monotonic() < self.end:
            text = TEXTS[(self.number + place) % len(TEXTS)]
            found = self.post("/ask", {"text": text})
            if found is not None and found["answer"] != self.verdicts[text]:
                self.wrong.append(f"{text[:40]!r} is answered {found['answer']}")
            if found is not None and place % CORRECTED == 0:
                own = f"{text} {self.number} {place}"
                answer = found["answer"]
                kept = self.post(
                    "/corrections", {"text": own, "label": "x", "answer": answer, "consent": True}
                )
                if kept is not None:
                    self.given[kept["id"]] = own
            place += 1

    def post(self, path: str, value: Any) -> Any:
        begun = time.monotonic()
        try:
            self.connection.request(
                "POST", path, json.dumps(value), {"content-type": "application/json"}
            )
            response = self.connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            self.statuses["lost"] += 1
            self.wrong.append(f"{path}: {error!r}")
            return None
        self.seconds.append(time.monotonic() - begun)
        self.statuses[str(response.status)] += 1
        if response.status == 200:
            return json.loads(body)
        self.wrong.append(f"{path}: {response.status} {body[:200]!r}")
        return None


def measured(model: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The document of one run, whose files lie in ``folder``."""
    kept = folder / "corrections.jsonl"
    command = [ALGOSHELF, "web", str(model), "--local", "--port", "0", "--corrections", str(kept)]
    command += ["--workers", str(options.workers)] if options.workers else []
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    log: list[str] = []
    port = 0
    for line in process.stderr:
        log.append(line)
        found = re.match(r"open http://127\.0\.0\.1:(\d+)/", line)
        if found:
            port = int(found[1])
            break
    else:
        raise SystemExit(f"ended with {process.wait()}: {''.join(log)}")
    reader = threading.Thread(target=lambda: log.extend(process.stderr or ()), daemon=True)
    reader.start()
    family = psutil.Process(process.pid).children(recursive=True)
    alone = Client(port, 0, 0.0, {})
    verdicts = {text: (alone.post("/ask", {"text": text}) or {}).get("answer") for text in TEXTS}
    end = time.monotonic() + options.seconds
    clients = [Client(port, number, end, verdicts) for number in range(options.connections)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    gateway = psutil.Process(process.pid).memory_info().rss // 2**20
    process.terminate()
    code = process.wait(PATIENCE)
    reader.join(PATIENCE)
    _, left = psutil.wait_procs(family, timeout=10)
    return _document(clients, kept, options, code, [each.pid for each in left], gateway)


def _document(
    clients: list[Client],
    kept: Path,
    options: argparse.Namespace,
    code: int,
    left: list[int],
    gateway: int,
) -> dict[str, Any]:
    seconds = sorted(each for client in clients for each in client.seconds)
    statuses = sum((client.statuses for client in clients), Counter[str]())
    given = {key: text for client in clients for key, text in client.given.items()}
    lines = [json.loads(line) for line in kept.read_text("utf-8").splitlines()]
    there = {line["id"]: line["text"] for line in lines}
    broken = [each for client in clients for each in client.wrong]
    if len(lines) != len(given) or there != given:
        broken.append(f"{len(given)} corrections were acknowledged, and {len(lines)} are kept")
    if code or left:
        broken.append(f"it ended with code {code} and left the processes {left}")
    return {
        "connections": options.connections,
        "seconds": options.seconds,
        "answers_by_status": dict(sorted(statuses.items())),
        "answers_a_second": round(len(seconds) / options.seconds, 1),
        "p50_ms": round(1000 * seconds[len(seconds) // 2], 1),
        "p99_ms": round(1000 * seconds[len(seconds) * 99 // 100], 1),
        "most_ms": round(1000 * seconds[-1], 1),
        "corrections_given": len(given),
        "corrections_kept": len(lines),
        "gateway_mib": gateway,
        "broken": broken[:20],
        "environment": environment(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--no-result", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="web-app-") as folder:
        model = options.model
        if model is None:
            model = Path(folder, "reviews")
            train = ("train", "text-classification", "--network", "ngram", "--epochs", "2")
            subprocess.run([ALGOSHELF, *train, "--output", str(model)], check=True)
        document = measured(model, Path(folder), options)
    print(json.dumps(document, indent=2))
    if not options.no_result:
        path = results_file("web_app")
        path.write_text(json.dumps(document, indent=2) + "\n")
        print(path, file=sys.stderr)
    if document["broken"]:
        raise SystemExit("broken: " + "; ".join(document["broken"]))


if __name__ == "__main__":
    main()
