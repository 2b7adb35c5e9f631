"""Discovery: whatever strangers install, the catalog goes on and says what is wrong."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest
from algoshelf.registry import catalog
from algoshelf.registry.cli.output import print_json

from tests.conftest import ROOT, Algoshelf, Result
from tests.registry.conftest import Site, install

PLUGIN = (ROOT / "tests" / "registry" / "acme-tabular" / "acme_tabular.py").read_text()
PLUGIN = PLUGIN.replace("import (", "import (Channel, Objective, PublishedResult,", 1)


def names(result: Result) -> list[str]:
    """The algorithms listed; those of this distribution are there, and left out."""
    assert result.code == 0, result.stderr
    listed = [algorithm["name"] for algorithm in result.json["algorithms"]]
    own = {path.parent.name.replace("_", "-") for path in ROOT.glob("algorithms/*/__init__.py")}
    assert own <= set(listed)
    return [name for name in listed if name not in own]


def test_every_folder_of_algorithms_is_in_the_catalog(algoshelf: Algoshelf) -> None:
    result = algoshelf("list", "--json")
    assert names(result) == []  # and those of the folders, whose presence it asserts
    assert result.json["problems"] == []
    assert all(a["distribution"].startswith("algoshelf ") for a in result.json["algorithms"])


def test_a_third_party_plugin_is_listed_with_its_distribution(site: Site) -> None:
    site.install("acme-tabular", PLUGIN, "0.3")
    result = site("list", "--json")
    assert "acme-tabular" in names(result)
    mine = next(a for a in result.json["algorithms"] if a["name"] == "acme-tabular")
    assert mine["distribution"] == "acme-tabular 0.3"
    assert mine["task"] == "tabular-classification"


def with_hyperparameters(fields: str) -> str:
    """The plugin, with ``fields`` added to its hyperparameters."""
    own = f"class Own(TrainingHyperparameters):\n    {fields}\n\n\nclass Acme"
    return PLUGIN.replace("class Acme", own).replace("= TrainingHyperparameters", "= Own")


def with_attributes(lines: str) -> str:
    """The plugin, with ``lines`` in the body of its class, after its own attributes."""
    return PLUGIN.replace("    def dataset", f"    {lines}\n\n    def dataset")


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
    "no-class": (PLUGIN.replace("[AcmeTabular]", "[3]"), "3 is not a subclass of"),
    "abstract": (
        PLUGIN.replace("def network", "def not_the_network"),
        "acme_broken.AcmeTabular: it does not define network",
    ),
    "nameless": (PLUGIN.replace('name = "acme-tabular"', ""), "it does not set name"),
    "ill-named": (
        PLUGIN.replace('"acme-tabular"', '"Acme Tabular"'),
        "the name 'Acme Tabular' is not lower-case words joined by hyphens",
    ),
    "ill-named-alias": (
        with_attributes("aliases = ('acme-rows', 'Acme')"),
        "the name 'Acme' is not lower-case words joined by hyphens",
    ),
    "aliases-a-string": (
        with_attributes("aliases = 'acme-rows'"),
        "aliases is 'acme-rows', expected a tuple of str",
    ),
    "reserved": (
        with_hyperparameters("seed: int = 1; as_json: int = 1; train: int = 1"),
        "hyperparameters may not be called as_json, seed, train: algoshelf has a flag or a "
        "hyperparameter of that name (--json of `train`; --seed of `train`; "
        "--train, a channel)",
    ),
    "reserved-channel": (
        with_attributes("channels += (Channel('kvstore', 'x', ()),)"),
        "channels may not be called kvstore: algoshelf has a flag or a hyperparameter of that name "
        "(--kvstore of `train`)",
    ),
    "ill-named-flags": (
        with_attributes("channels += (Channel('my-data', 'x', ()), Channel('Extra', 'x', ()))"),
        "channels may not be called Extra, my-data: expected a lower-case letter, then",
    ),
    "ill-named-hyperparameter": (
        with_hyperparameters("Rate: int = 1"),
        "hyperparameters may not be called Rate: expected a lower-case letter, then",
    ),
    "one-flag-twice": (
        with_attributes("channels += (channels[1], Channel('epochs', 'x', ()))"),
        "channels and hyperparameters share the names epochs, validation",
    ),
    "task-a-list": (with_attributes("task = ['a']"), "task is ['a'], expected a str"),
    "hyperparameters-an-instance": (
        with_attributes("Hyperparameters = TrainingHyperparameters()"),
        "expected a subclass of algoshelf.core.Hyperparameters",
    ),
    "channel-of-a-number": (
        with_attributes("channels = (Channel(3, 'x', ()),)"),
        "expected a tuple of Channel(name: str, description: str, formats: tuple[str, ...], req",
    ),
    "constructor-raises": (
        with_attributes("def __init__(self): raise OSError('no disk')"),
        "acme_broken.AcmeTabular() raised OSError: no disk; expected a constructor that takes no",
    ),
    "constructor-with-arguments": (
        with_attributes("def __init__(self, size): pass"),
        "missing 1 required positional argument: 'size'; expected a constructor that takes no",
    ),
    "speechless": (
        "class Mute(Exception):\n    def __str__(self): return 1 / 0\n\n\nraise Mute",
        "Mute, which cannot be shown: its __str__ raised ZeroDivisionError",
    ),
    "many-lines": ("raise RuntimeError('one\\ntwo\\r\\u2028three')", "RuntimeError: one two three"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_reported_by_name_and_skipped(site: Site, kind: str) -> None:
    source, reason = BROKEN[kind]
    site.install("acme-broken", source)
    result = site("list", "--json")
    assert names(result) == []
    (problem,) = result.json["problems"]
    assert problem["plugin"] == "acme_broken"
    assert problem["distribution"] == "acme-broken"
    assert reason in problem["error"]
    (warning,) = result.stderr.splitlines()
    assert warning.startswith("warning: plugin 'acme_broken' of acme-broken is skipped: ")


def test_all_faults_of_a_class_come_at_once(site: Site) -> None:
    wrong = {
        "name": "3",
        "version": "1",
        "task": "None",
        "summary": "b''",
        "Hyperparameters": "int",
        "channels": "('train',)",
        "accepts": "(codecs.CSV,)",
        "response_types": "[]",
        "metrics": "{'loss': 1}",
        "objective": "'loss'",
        "published": "(1,)",
    }
    lines = "\n    ".join(f"{name} = {value}" for name, value in wrong.items())
    site.install("acme-broken", with_attributes(lines))
    result = site("list", "--json")
    assert names(result) == []
    (problem,) = result.json["problems"]
    assert problem["error"].startswith("acme_broken.AcmeTabular: name is 3, expected a str; ")
    for name in wrong:
        assert f"{name} is " in problem["error"]


def lacking_more(site: Site) -> None:
    """A plugin whose algorithm needs an extra of which two requirements are not met."""
    reading = "        features, labels = files"
    source = with_attributes('extras = ("more",)')
    source = source.replace(reading, f"        raise RuntimeError('its data is read')\n{reading}")
    info = site.install("acme-tabular", source)
    with (info / "METADATA").open("a") as metadata:
        metadata.write("Provides-Extra: more\n")
        for each in ("acme-no-such>=2", "numpy<1", "click", 'acme-elsewhere; python_version < "3"'):
            name, _, marker = each.partition("; ")
            marker = f"{marker} and " if marker else ""
            metadata.write(f'Requires-Dist: {name}; {marker}extra == "more"\n')


def test_list_and_train_say_what_an_entry_lacks_before_its_data_is_read(site: Site) -> None:
    lacking_more(site)
    command = "pip install 'acme-tabular[more]'"
    listed = site("list")
    assert listed.code == 0
    assert "acme-tabular needs acme-no-such>=2, numpy<1 (there is 1." in listed.stderr
    assert command in listed.stderr
    rows = {row["name"]: row["lacks"] for row in site("list", "--json").json["algorithms"]}
    assert [each.split()[0] for each in rows["acme-tabular"]] == ["acme-no-such>=2", "numpy<1"]
    assert rows["mnist-cnn"] == []
    assert command in site("info", "acme-tabular").text
    (site.folder / "rows.csv").write_text("0,1,0,0,0\n")
    data = ("--train", site.folder / "rows.csv")
    for words in (("train",), ("tune",), ("benchmark",)):
        result = site(*words, "acme-tabular", *data)
        assert result.code == 1
        assert "acme-tabular needs acme-no-such>=2, numpy<1 (there is 1." in result.stderr
        assert f"which are not installed: {command}" in result.stderr
        assert "its data is read" not in result.stderr


def test_one_broken_plugin_leaves_the_others_alone(site: Site) -> None:
    site.install("acme-broken", "1 / 0")
    site.install("acme-tabular", PLUGIN)
    assert names(site("list", "--json")) == ["acme-tabular"]


def test_a_name_taken_twice_is_an_error_that_names_both(site: Site) -> None:
    site.install("first-shop", PLUGIN, "1.0")
    site.install("second-shop", PLUGIN, "2.0")
    listed = site("list", "--json")
    assert names(listed) == []
    for result in (listed, site("info", "acme-tabular"), site("train", "acme-tabular")):
        assert "used by first-shop 1.0 and second-shop 2.0" in result.stderr
    assert site("info", "acme-tabular").code == 1


def test_an_algorithm_is_found_by_its_aliases_and_listed_once(site: Site) -> None:
    site.install("acme-tabular", with_attributes("aliases = ('acme-rows', 'acme-cells')"))
    assert names(site("list", "--json")) == ["acme-tabular"]
    for name in ("acme-tabular", "acme-rows", "acme-cells"):
        assert site("info", name, "--json").json["name"] == "acme-tabular"
    assert "Also found as acme-rows, acme-cells." in site("info", "acme-rows").text
    assert "did you mean 'acme-rows'" in site("info", "acme-row").stderr
    refused = site("new", "acme-rows")
    assert refused.code == 2
    assert "already in the catalog, from acme-tabular" in refused.stderr


def test_an_alias_that_is_anothers_name_is_an_error_that_names_both(site: Site) -> None:
    site.install("first-shop", PLUGIN)
    second = with_attributes("aliases = ('acme-tabular',)").replace('"acme-tabular"', '"acme-rows"')
    site.install("second-shop", second)
    listed = site("list", "--json")
    assert names(listed) == ["acme-rows"]
    asked = site("info", "acme-tabular")
    assert asked.code == 1
    for result in (listed, asked):
        assert "used by first-shop 1.0 and second-shop 1.0" in result.stderr


def test_a_model_is_answered_without_importing_other_plugins(site: Site, model: Path) -> None:
    heard = "acme-loud is imported"
    site.install("acme-loud", f"{PLUGIN}\nimport sys\nprint({heard!r}, file=sys.stderr)\n")
    assert heard in site("list").stderr
    answered = site("predict", model)
    assert answered.code == 0, answered.stderr
    assert heard not in answered.stderr


def test_of_two_plugins_of_one_name_neither_answers_for_a_model(site: Site, tmp_path: Path) -> None:
    rows = "".join(f"{label},{label}.5,1,2,3\n" for label in range(3)) * 4
    (tmp_path / "rows.csv").write_text(rows)
    site.install("acme-tabular", PLUGIN)
    model = tmp_path / "model"
    trained = site("train", "acme-tabular", "--train", "rows.csv", "--epochs", 1, "--output", model)
    assert trained.code == 0, trained.stderr
    assert site("predict", model).code == 0
    (tmp_path / "other").mkdir()
    info = install(tmp_path / "other", "acme-tabular", PLUGIN, "2.0")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: second-shop\nVersion: 2.0\n")
    (tmp_path / "other" / "acme_tabular.py").rename(tmp_path / "other" / "second_shop.py")
    (info / "entry_points.txt").write_text("[algoshelf]\nacme_tabular = second_shop\n")
    path = os.pathsep.join([str(site.folder), str(tmp_path / "other")])
    disputed = site.algoshelf("predict", model, PYTHONPATH=path)
    assert disputed.code == 1
    assert "used by acme-tabular 1.0 and second-shop 2.0" in disputed.stderr


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
    assert names(result) == ["acme-tabular"]
    assert result.json["algorithms"][0]["distribution"] == "acme-tabular 2.0"


def test_distributions_are_one_where_pep_503_says_so(site: Site, tmp_path: Path) -> None:
    site.install("Acme.X", PLUGIN, "2.0")
    (tmp_path / "older").mkdir()
    install(tmp_path / "older", "acme-x", PLUGIN, "1.0")
    path = os.pathsep.join([str(site.folder), str(tmp_path / "older")])
    result = site.algoshelf("list", "--json", PYTHONPATH=path)
    assert names(result) == ["acme-tabular"]
    assert result.json["algorithms"][0]["distribution"] == "Acme.X 2.0"


def test_distributions_without_a_name_go_by_their_folders(site: Site) -> None:
    for name in ("acme-one", "acme-two"):
        info = site.install(name, PLUGIN.replace("acme-tabular", name))
        (info / "METADATA").write_text("Metadata-Version: 2.1\n")
    result = site("list", "--json")
    assert names(result) == ["acme-one", "acme-two"]
    assert result.json["problems"] == []
    assert result.json["algorithms"][0]["distribution"] == "acme_one-1.0.dist-info (no version)"


NOT_UTF8 = "Metadata-Version: 2.1\nName: caf\xe9\nVersion: 1\n".encode("latin-1")


def test_the_metadata_of_strangers_is_no_concern_of_ours(site: Site) -> None:
    info = site.install("stranger", "")
    (info / "METADATA").write_bytes(NOT_UTF8)
    (info / "entry_points.txt").write_text("[console_scripts]\nno equals sign\n")
    result = site("list", "--json", PYDANTIC_DISABLE_PLUGINS="true")
    assert names(result) == []
    assert result.json["problems"] == []


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("METADATA", NOT_UTF8),
        ("entry_points.txt", b"[algoshelf]\nno equals sign\n"),
        ("entry_points.txt", b"[algoshelf]\nx = caf\xe9\n"),
    ],
)
def test_a_distribution_that_cannot_be_read_is_reported_and_skipped(
    site: Site, file: str, content: bytes
) -> None:
    (site.install("acme-broken", PLUGIN) / file).write_bytes(content)
    site.install("acme-tabular", PLUGIN)
    result = site("list", "--json", PYDANTIC_DISABLE_PLUGINS="true")
    assert names(result) == ["acme-tabular"]
    (problem,) = result.json["problems"]
    assert problem["distribution"] == "acme_broken-1.0.dist-info"
    folder = site.folder / "acme_broken-1.0.dist-info"
    assert problem["error"].startswith(f"{folder}: its metadata cannot be read: ")
    assert len(result.stderr.splitlines()) == 1


def test_what_plugins_say_is_shown_as_it_is(site: Site) -> None:
    said = "x [/red] [bold] [x] :smile: y"
    lines = f"""version = summary = task = "{said}"
    channels = supervised_channels("{said}")
    accepts = response_types = (ContentType("{said}", "{said}", "{said}"),)
    metrics = {{"{said}": "{said}"}}
    objective = Objective("{said}", maximize=True)
    published = (PublishedResult("{said}", 1.0, "{said}", "{said}"),)"""
    site.install("acme-tabular", with_attributes(lines))
    listed, shown = site("list"), site("info", "acme-tabular")
    assert listed.code == shown.code == 0, listed.stderr + shown.stderr
    assert listed.text.count(said) == 2
    assert shown.text.count(said) == 3 + 1 + 2 * 3 + 2 + 1 + 3
    assert "\nHyperparameters\n" in shown.text


@pytest.mark.parametrize(
    "source",
    [
        "print('hello')\n" + PLUGIN,
        PLUGIN.replace("return [Acme", "print('hello'); return [Acme"),
        with_attributes("def __init__(self): print('hello')"),
    ],
    ids=["import", "hook", "constructor"],
)
def test_what_a_plugin_prints_stays_out_of_the_document(site: Site, source: str) -> None:
    site.install("acme-tabular", source)
    result = site("list", "--json")
    assert names(result) == ["acme-tabular"]
    assert result.stderr == "hello\n"


def test_the_document_is_the_same_in_every_encoding(site: Site) -> None:
    site.install("acme-tabular", PLUGIN.replace("Tells rows", "Tells … rows"))
    result = site("list", "--json", PYTHONIOENCODING="latin-1")
    assert result.json["algorithms"][0]["summary"] == "Tells … rows of four numbers apart."
    assert result.stdout.isascii()


def test_the_document_holds_no_numbers_that_json_lacks() -> None:
    with pytest.raises(ValueError, match="JSON"):
        print_json({"loss": float("nan")})


def test_the_function_and_the_module_have_names_of_their_own() -> None:
    from algoshelf import registry

    assert registry.catalog() is catalog()
    assert importlib.util.find_spec("algoshelf.registry.catalog") is None


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
