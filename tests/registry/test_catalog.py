"""Discovery: whatever strangers install, the catalog goes on and says what is wrong."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT, Algoshelf, Result

PLUGIN = (ROOT / "tests" / "registry" / "acme-tabular" / "acme_tabular.py").read_text()


def install(folder: Path, name: str, source: str, version: str = "1.0") -> None:
    """A distribution ``name`` with one module, as an installer leaves it in ``folder``."""
    module = re.sub(r"\W", "_", name)
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[algoshelf]\n{module} = {module}\n")


class Site:
    """A folder of distributions that the command line sees beside its own environment."""

    def __init__(self, algoshelf: Algoshelf, folder: Path) -> None:
        self.algoshelf = algoshelf
        self.folder = folder
        folder.mkdir()

    def install(self, name: str, source: str, version: str = "1.0") -> None:
        install(self.folder, name, source, version)

    def __call__(self, *arguments: object) -> Result:
        return self.algoshelf(*arguments, PYTHONPATH=str(self.folder) + os.pathsep + str(ROOT))


@pytest.fixture
def site(algoshelf: Algoshelf, tmp_path: Path) -> Site:
    return Site(algoshelf, tmp_path / "site")


def names(result: Result) -> list[str]:
    assert result.code == 0, result.stderr
    return [algorithm["name"] for algorithm in result.json["algorithms"]]


def test_every_folder_of_algorithms_is_in_the_catalog(algoshelf: Algoshelf) -> None:
    folders = {path.parent.name.replace("_", "-") for path in ROOT.glob("algorithms/*/__init__.py")}
    result = algoshelf("list", "--json")
    assert set(names(result)) == folders
    assert result.json["problems"] == []
    assert all(a["distribution"].startswith("algoshelf ") for a in result.json["algorithms"])


def test_a_third_party_plugin_is_listed_with_its_distribution(site: Site) -> None:
    site.install("acme-tabular", PLUGIN, "0.3")
    result = site("list", "--json")
    assert "acme-tabular" in names(result)
    mine = next(a for a in result.json["algorithms"] if a["name"] == "acme-tabular")
    assert mine["distribution"] == "acme-tabular 0.3"
    assert mine["task"] == "tabular-classification"


BROKEN = {
    "syntax": ("def broken(:", "SyntaxError"),
    "import": ("import no_such_module_anywhere", "No module named 'no_such_module_anywhere'"),
    "raises": ("raise RuntimeError('out of coffee')", "RuntimeError: out of coffee"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "no-hook": ("x = 1", "it implements no hook"),
    "misspelt": (
        PLUGIN.replace("def algoshelf_algorithms", "def algoshelf_algorithm"),
        "there is no hook 'algoshelf_algorithm' (did you mean 'algoshelf_algorithms'?)",
    ),
    "unmarked": (
        PLUGIN.replace("@hookimpl", ""),
        "the hook 'algoshelf_algorithms' lacks the decorator @hookimpl",
    ),
    "hook-raises": (PLUGIN.replace("return [Acme", "1 / 0; [Acme"), "ZeroDivisionError"),
    "returns-none": (PLUGIN.replace("return [AcmeTabular]", "return None"), "returned nothing"),
    "no-class": (PLUGIN.replace("[AcmeTabular]", "[3]"), "3 is no subclass of"),
    "abstract": (
        PLUGIN.replace("def network", "def not_the_network"),
        "acme_broken.AcmeTabular: it does not define network",
    ),
    "nameless": (PLUGIN.replace('name = "acme-tabular"', ""), "it does not set name"),
    "ill-named": (
        PLUGIN.replace('"acme-tabular"', '"Acme Tabular"'),
        "the name 'Acme Tabular' is not lower-case words joined by hyphens",
    ),
    "reserved": (
        PLUGIN.replace(
            "class Acme",
            "class Own(TrainingHyperparameters):\n    seed: int = 1\n\n\nclass Acme",
        ).replace("= TrainingHyperparameters", "= Own"),
        "hyperparameters may not be called seed",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_reported_by_name_and_skipped(site: Site, kind: str) -> None:
    source, reason = BROKEN[kind]
    site.install("acme-broken", source)
    result = site("list", "--json")
    assert names(result) == ["mnist-cnn"]
    (problem,) = result.json["problems"]
    assert problem["plugin"] == "acme_broken"
    assert problem["distribution"] == "acme-broken"
    assert reason in problem["error"]
    assert "warning: plugin 'acme_broken' of acme-broken is skipped" in result.stderr
    assert "Traceback" not in result.stderr


def test_one_broken_plugin_leaves_the_others_alone(site: Site) -> None:
    site.install("acme-broken", "1 / 0")
    site.install("acme-tabular", PLUGIN)
    assert names(site("list", "--json")) == ["acme-tabular", "mnist-cnn"]


def test_a_name_taken_twice_is_an_error_that_names_both(site: Site) -> None:
    site.install("first-shop", PLUGIN, "1.0")
    site.install("second-shop", PLUGIN, "2.0")
    listed = site("list", "--json")
    assert names(listed) == ["mnist-cnn"]
    for result in (listed, site("info", "acme-tabular"), site("train", "acme-tabular")):
        assert "claimed by first-shop 1.0 and second-shop 2.0" in result.stderr
    assert site("info", "acme-tabular").code == 1


def test_a_broken_plugin_is_mentioned_to_who_asks_for_its_algorithm(site: Site) -> None:
    site.install("acme-broken", "1 / 0")
    result = site("info", "acme-tabular")
    assert result.code == 2
    assert "ZeroDivisionError" in result.stderr


def test_a_copy_of_a_distribution_later_on_the_path_is_no_rival(site: Site, tmp_path: Path) -> None:
    site.install("acme-tabular", PLUGIN, "2.0")
    (tmp_path / "older").mkdir()
    install(tmp_path / "older", "acme-tabular", PLUGIN, "1.0")
    path = os.pathsep.join([str(site.folder), str(tmp_path / "older")])
    result = site.algoshelf("list", "--json", PYTHONPATH=path)
    assert names(result) == ["acme-tabular", "mnist-cnn"]
    assert result.json["algorithms"][0]["distribution"] == "acme-tabular 2.0"


def test_a_third_party_plugin_trains_evaluates_and_predicts(site: Site, tmp_path: Path) -> None:
    site.install("acme-tabular", PLUGIN)
    rows = [
        f"{label}," + ",".join(str((label == column) + 0.01 * i) for column in range(4))
        for i in range(40)
        for label in range(3)
    ]
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    trained = site(
        "train", "acme-tabular", "--train", "rows.csv", "--batch-size", 16, "--epochs", 30,
        "--learning-rate", 0.01, "--json",
    )  # fmt: skip
    assert trained.code == 0, trained.stderr
    assert trained.json["metrics"]["validation:accuracy"] == 1
    model = trained.json["model"]
    evaluated = site("evaluate", model, "--test", "rows.csv", "--json")
    assert evaluated.json["metrics"]["accuracy"] == 1
    (tmp_path / "ask.csv").write_text("0,1,0,0\n0,0,1,0\n")
    answers = site("predict", model, "ask.csv")
    labels = [json.loads(line)["label"] for line in answers.text.splitlines()]
    assert labels == ["green", "blue"]
    wrong = site.algoshelf(
        "predict", model, "-", "--content-type", "text/csv", stdin=b"1,2,3",
        PYTHONPATH=str(site.folder),
    )  # fmt: skip
    assert wrong.code == 2
    assert "stdin: expected examples of the shape (4,), got (3,)" in wrong.stderr
