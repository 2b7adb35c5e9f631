"""How soon after a review is typed its verdict stands on the page, in a real Chromium.

    python typed.py [--model FOLDER] [--reviews 40]

Serves a model of reviews, trained on the bundled sample unless --model gives one, and enters one
review after another, each whole and after a rest: on the page of `algoshelf serve`, and on the
review app of `algoshelf web --local`. The time is the page's own, from the event of the input to
the change of the document that shows the verdict. The result is kept under results/.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from command import ALGOSHELF
from environment import environment, results_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.core.serving.page.browser import Browser, found

REST_SECONDS = 0.5
WAYS = {
    "the page of serve": (["serve"], ["--port", "0", "--workers", "1"], r"ready at \S+:(\d+):"),
    "the review app": (
        ["web"], ["--local", "--port", "0", "--workers", "1"], r"open http://[\d.]+:(\d+)/",
    ),
}  # fmt: skip
# Enters a text, and waits for the verdict to be another element: in milliseconds.
TYPED = """
new Promise((resolve) => {
  const field = document.querySelector('#text');
  const before = document.querySelector('.verdict');
  field.value = TEXT;
  const begun = performance.now();
  const seen = new MutationObserver(() => {
    const now = document.querySelector('.verdict');
    if (!now || now === before) return;
    seen.disconnect();
    resolve(performance.now() - begun);
  });
  seen.observe(document.querySelector('main'), { childList: true, subtree: true });
  field.dispatchEvent(new InputEvent('input', { bubbles: true }));
})
"""


def measured(browser: Browser, model: Path, reviews: int, way: str) -> dict[str, Any]:
    """The times of one page."""
    command, options, ready = WAYS[way]
    with tempfile.TemporaryDirectory(prefix="typed-") as folder:
        process = subprocess.Popen(
            [ALGOSHELF, *command, str(model), *options],
            stderr=subprocess.PIPE, text=True, cwd=folder,
        )  # fmt: skip
        try:
            assert process.stderr is not None
            port = next(
                found[1] for line in process.stderr for found in [re.search(ready, line)] if found
            )
            times = []
            with browser.tab(f"http://127.0.0.1:{port}/") as tab:
                tab.until("document.querySelector('#text')")
                for number in range(reviews):
                    text = f"a {'warm and funny' if number % 2 else 'dull and cold'} film, {number}"
                    time.sleep(REST_SECONDS)
                    times.append(float(tab.run(TYPED.replace("TEXT", json.dumps(text)))))
        finally:
            process.terminate()
            process.wait(60)
    times.sort()
    return {
        "reviews": reviews,
        "p50_ms": round(times[len(times) // 2]),
        "p95_ms": round(times[len(times) * 95 // 100]),
        "most_ms": round(times[-1]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--reviews", type=int, default=40)
    options = parser.parse_args()
    path = found()
    if path is None:
        raise SystemExit("there is no Chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="typed-") as folder:
        model = options.model
        if model is None:
            model = Path(folder, "reviews")
            train = ("train", "text-classification", "--network", "ngram", "--epochs", "2")
            subprocess.run([ALGOSHELF, *train, "--output", str(model)], check=True)
        browser = Browser(path)
        try:
            times = {way: measured(browser, model, options.reviews, way) for way in WAYS}
        finally:
            browser.close()
    document = {"pages": times, "environment": environment()}
    kept = results_file("typed")
    kept.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(document, indent=2))
    print(kept, file=sys.stderr)


if __name__ == "__main__":
    main()
