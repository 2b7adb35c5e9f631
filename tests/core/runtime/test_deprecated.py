"""What plugins for algoshelf 0.1 use works by its old names, and is warned of once."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest
from algoshelf.core import Algorithm, Hyperparameters, Search, TrainingHyperparameters, tunable
from algoshelf.core.runtime import deprecated

HERE = Path(__file__).parent
# The names of each module that has moved, or whose names have changed, as they were before.
NAMES: dict[str, list[str]] = json.loads((HERE / "old_names.json").read_text())
# What algoshelf 0.1 showed to plugins: the names of ``core`` and of the four modules in it, those
# of ``registry``, and what the built-in algorithms took from core's other modules. A class has its
# attributes, and functions the names of their parameters.
FACE: dict[str, dict[str, Any]] = json.loads((HERE / "old_face.json").read_text())
# Old modules and names are asked for in a process of their own, since what is imported stays so.
ASK = """
import importlib, json, sys, warnings
core, names, told = "algoshelf.core", json.loads(sys.argv[1]), {}
for old, held in names.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = importlib.import_module(f"{core}.{old}")
        lacking = [name for name in held if not hasattr(module, name)]
    told[old] = [lacking, [[str(w.message), w.category.__name__, w.filename] for w in caught]]
import algoshelf.core
print(json.dumps(told))
"""
TRAIN = """
import json, sys, warnings
from pathlib import Path
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("default")
    import old_style
    from algoshelf.core import Reporter, train
    class Heard(Reporter):
        def message(self, text): said.append(text)
    said, folder = [], Path(sys.argv[1])
    algorithm = old_style.AcmeOlder()
    quick = algorithm.Hyperparameters.parse({"batch_size": 10, **type(algorithm).quick})
    train(algorithm, {"train": folder / "rows.csv"}, quick, folder / "m", reporter=Heard())
    model = algorithm.model_fn(folder / "m")
    rows = algorithm.input_fn(b"1,2,3,4", "text/csv")
    body = algorithm.output_fn(algorithm.predict_fn(rows, model), "*/*")
ours = [w for w in caught if w.category is DeprecationWarning and "algoshelf" in str(w.message)]
print(json.dumps({
    "said": said, "body": json.loads(body),
    "told": [[str(w.message), w.filename.rpartition("/")[2], w.lineno] for w in ours],
    "sketch": algorithm.preview(folder / "rows.csv", model, 3, 80),
    "constants": old_style.CONSTANTS,
}))
"""


def run(code: str, argument: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", code, argument],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_old_module_is_found_with_the_names_that_it_held() -> None:
    told = run(ASK, json.dumps(NAMES))
    assert {old: lacking for old, (lacking, _) in told.items() if lacking} == {}
    for old, (_, caught) in told.items():
        messages = [message for message, kind, _ in caught if kind == "DeprecationWarning"]
        moved = [text for text in messages if text.startswith(f"algoshelf.core.{old} is ")]
        symbols = deprecated.SYMBOLS
        renamed = {n for n in NAMES[old] if n.startswith("MOST_") or f"{old}.{n}" in symbols}
        if old in ("algorithm", "artifact", "container", *deprecated.KEPT):  # have their own names
            assert not moved
            assert len(set(messages)) == len(messages)
        else:
            assert len(moved) == 1, old
            assert f"algoshelf.core.{deprecated.MODULES[old][0]} " in moved[0]
            rest = {text.split()[0].rpartition(".")[2] for text in messages} - {old.split(".")[-1]}
            assert rest == renamed


def parameters_of(function: Any) -> set[str]:
    known = set(inspect.signature(function).parameters)
    return known | {"searched"} if function is tunable else known  # of which a test is below


def attributes_of(cls: type) -> set[str]:
    """Of annotations and ``self.name = …`` too, and the old names of what has been renamed."""
    known = set(dir(cls))
    for each in (c for c in cls.__mro__ if c.__module__.startswith("algoshelf.")):
        known |= set(vars(each).get("__annotations__", ()))
        known |= set(re.findall(r"\bself\.(\w+)(?:: .*)? = ", inspect.getsource(each)))
        known |= set(re.findall(r"\bself\.(\w+), self\.", inspect.getsource(each)))
    renamed: dict[str, str] = getattr(cls, "old_attributes", {})
    return known | {old for old, new in renamed.items() if new in known}


def lacking(module: str, name: str, was: Any) -> Iterator[str]:
    """What is missing of a ``name`` of the public face, by its full name."""
    try:
        found = getattr(importlib.import_module(f"algoshelf.{module}"), name)
    except (ImportError, AttributeError):
        yield f"{module}.{name}"
        return
    if isinstance(was, list):
        yield from (f"{module}.{name}({each})" for each in set(was) - parameters_of(found))
    elif was is not None:
        have = attributes_of(found)
        for attribute, parameters in was.items():
            if attribute not in have:
                yield f"{module}.{name}.{attribute}"
            elif parameters:
                known = parameters_of(getattr(found, attribute))
                unknown = set(parameters) - known
                yield from (f"{module}.{name}.{attribute}({each})" for each in unknown)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_public_face_of_before_is_there() -> None:
    missing = [
        text
        for module, names in FACE.items()
        for name, was in names.items()
        for text in lacking(module, name, was)
    ]
    assert missing == []


def test_a_module_that_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"algoshelf\.core\.codex"):
        __import__("algoshelf.core.codex")
    with pytest.raises(ImportError, match="no_such_name"):
        exec("from algoshelf.core.artifact import no_such_name")


def test_an_old_plugin_trains_and_answers_and_each_old_name_is_told_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    rows = np.column_stack([labels, rng.normal(labels[:, None], 0.1, (60, 4))])
    np.savetxt(tmp_path / "rows.csv", rows, delimiter=",")
    found = run(TRAIN, str(tmp_path))
    heard = [text for text in found["said"] if "before" in text]
    assert heard == ["begins as before", "and before that"]
    assert list(found["body"]["predictions"][0]["probabilities"]) == ["red", "green", "blue"]
    assert found["sketch"] == "3 rows of rows.csv"
    assert found["constants"][2:] == [500, "algorithm.json"]
    told = [text for text, file, _ in found["told"] if file == "old_style.py"]
    for words in (
        "AcmeOld.answers: it is called response_types now",
        "AcmeOld.quick: it is called check_hyperparameters now",
        "AcmeOld.begin: it is called load_pretrained now",
        "AcmeOld.sketch: it is called preview now",
        "AcmeOld.most_work: it is called max_work now",
        "OldHyperparameters.searched: it is called search_space now",
        "algoshelf.core.supervised is algoshelf.core.tasks.supervised and "
        "algoshelf.core.tasks.classification now",
        "algoshelf.core.codecs.MOST_NPY_HEAD is algoshelf.core.data.npy.MAX_NPY_HEAD now",
        "algoshelf.core.algorithm.WORK_PER_PARAMETER is ",
    ):
        assert len([text for text in told if text.startswith(words)]) == 1, (words, told)
    assert all(
        text.endswith(f"the old name goes with algoshelf {deprecated.REMOVAL}") for text in told
    )
    # Nobody but the plugin, and who reads its ``quick`` above, uses an old name.
    assert {file for _, file, _ in found["told"]} == {"old_style.py", "<string>"}


def test_who_reads_an_old_name_gets_what_the_new_one_has() -> None:
    class Mine(Algorithm[TrainingHyperparameters]):  # type: ignore[misc]
        check_hyperparameters = {"epochs": 3}

    class Both(Mine):
        quick = {"epochs": 4}
        check_hyperparameters = {"epochs": 5}

    with pytest.warns(DeprecationWarning, match=r"Mine\.quick: it is called check_hyperparam"):
        assert Mine.quick == {"epochs": 3}  # type: ignore[attr-defined]
    with pytest.warns(DeprecationWarning, match=r"Both\.quick: "):
        assert Both.quick == {"epochs": 5}
    Mine.check_hyperparameters = {"epochs": 6}
    with pytest.warns(DeprecationWarning, match=r"Mine\.quick: "):
        assert Mine.quick == {"epochs": 6}  # type: ignore[attr-defined]


def test_what_defines_both_names_fits_both_releases_and_is_told_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class Both(Hyperparameters):
            search_space = {"epochs": Search(1, 3)}
            searched = search_space

    assert Both.search_space == {"epochs": Search(1, 3)}


def test_an_argument_is_known_by_its_old_name() -> None:
    ranges = {"momentum": Search(0.5, 0.9)}
    new = tunable(TrainingHyperparameters, {"optimizer": "sgd"}, search_space=ranges)
    with pytest.warns(
        DeprecationWarning, match=r"tunable\(searched=…\): it is called search_space"
    ):
        old = tunable(
            TrainingHyperparameters,
            {"optimizer": "sgd"},
            searched=ranges,  # type: ignore[call-arg]
        )
    assert old == new
    assert [each.name for each in new] == ["momentum"]


RENAMED = """
import json, sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from algoshelf.algorithms.text_sentiment import TextSentiment
    from algoshelf.algorithms.text_sentiment.vocabulary import Encoder
from algoshelf.algorithms import text_classification
from algoshelf.algorithms.text_classification import vocabulary
same = [TextSentiment is text_classification.TextClassification, Encoder is vocabulary.Encoder]
specs = [text_classification.__spec__.name, vocabulary.__spec__.name]
told = [[str(w.message), w.filename] for w in caught if "algoshelf" in str(w.message)]
print(json.dumps({"same": same, "specs": specs, "told": told}))
"""


def test_a_package_of_another_name_is_the_same_modules() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RENAMED], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    new = "algoshelf.algorithms.text_classification"
    assert found["same"] == [True, True]
    assert found["specs"] == [new, f"{new}.vocabulary"]
    ((text, where),) = found["told"]
    assert text.startswith(f"algoshelf.algorithms.text_sentiment is {new} now; the old name goes")
    assert where == "<string>"
