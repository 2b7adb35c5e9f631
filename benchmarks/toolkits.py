"""Keep what `make toolkits` found: which versions ran, and how each test ended.

python benchmarks/toolkits.py ENVIRONMENTS, where results.xml and the environments are.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

from environment import environment, results_file

REQUIREMENTS = Path(__file__).parents[1] / "tests" / "toolkits"
ENDINGS = ("failure", "error", "skipped")


def versions(environments: Path, name: str) -> dict[str, str]:
    """What is installed of what the environment's requirements name."""
    lines = (REQUIREMENTS / f"requirements-{name}.txt").read_text().splitlines()
    wanted = {line.split("==")[0].split("[")[0] for line in lines if not line.startswith("#")}
    (site,) = (environments / name).glob("lib/python3.*/site-packages")
    found = {d.metadata["Name"]: d.version for d in metadata.distributions(path=[str(site)])}
    plain = {key.replace("_", "-"): value for key, value in found.items()}
    named = {key: value for key, value in plain.items() if key in wanted}
    return {"python": site.parent.name[len("python") :], **dict(sorted(named.items()))}


def outcomes(results: Path) -> dict[str, str]:
    """How each test ended: passed, failure, error or skipped."""
    found = {}
    for case in ElementTree.parse(results).getroot().iter("testcase"):
        module = case.attrib["classname"].split(".")[-1]
        ended = [child.tag for child in case if child.tag in ENDINGS]
        found[f"{module}::{case.attrib['name']}"] = ended[0] if ended else "passed"
    return found


def main() -> None:
    environments = Path(sys.argv[1])
    content = {
        "environment": environment(),
        "image": versions(environments, "image"),
        "sdk": versions(environments, "sdk"),
        "tests": outcomes(environments / "results.xml"),
    }
    results_file("toolkits").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
