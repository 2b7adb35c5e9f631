"""What objects show in a notebook: everything that matters, and nothing that could do harm."""

from __future__ import annotations

import base64
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from algoshelf.core.algorithm.evaluation import (
    Baseline,
    ClassFigures,
    Confused,
    Curve,
    Evaluation,
    Fit,
    Forecast,
    GroupFigures,
    Importance,
    LabelFigures,
    Scatter,
    StepFigures,
    TargetFigures,
)
from algoshelf.core.artifact.folder import Artifact
from algoshelf.core.training.notebook import NotebookReporter
from algoshelf.registry import catalog
from algoshelf.registry.discovery import Catalog, Problem

EVIL = "<script>alert('a')</script>&\"<img src=x onerror=b>"
CURVE = Curve(EVIL, (EVIL, EVIL), ((0.0, 0.0), (0.2, 0.7), (1.0, 1.0)), ((0, 0), (1, 1)))
EVALUATION = Evaluation(
    examples=1234,
    metrics={"accuracy": 0.9, EVIL: 0.5},
    intervals={"accuracy": (0.88, 0.92)},
    classes=(ClassFigures(EVIL, 0.9, 0.8, 0.85, 600), ClassFigures("fine", 0.9, 0.8, 0.7, 634)),
    confusion=((590, 10), (114, 520)),
    confused=(Confused(EVIL, "fine", 10),),
    targets=(TargetFigures(EVIL, 1, 2, None), TargetFigures("other", 1, 2, 0.5)),
    groups=(GroupFigures(EVIL, 7, 0.5),),
    scatter=Scatter(
        np.array([[0.0, 1.0], [1.0, 2.0]]), np.array([0, 1]), np.array([[0.0, 1.0]] * 2),
        (EVIL, EVIL),
    ),
    fits=(Fit(EVIL, np.array([1.0, 2.0]), np.array([1.5, 1.5])),),
    curves=(CURVE,),
    labels=(LabelFigures(EVIL, 0.1, 0.2, 0.3, None, 4),),
    importances=(Importance(EVIL, EVIL, 0.1, 0.01), Importance("useless", EVIL, -0.1, 0.01)),
    steps=(StepFigures(1, 0.5, 12.5, 0.1, None),),
    forecasts=(
        Forecast(
            EVIL, np.array([1.0, math.nan, 2.0, 3.0]), np.array([math.nan, 4.0]),
            np.array([3.5, 4]), np.array([[3.0, 3.0], [4.0, 5.0]]),
        ),
    ),
    baselines=(Baseline(EVIL, {"accuracy": 0.4}),),
    positive=EVIL,
    threshold=0.25,
)  # fmt: skip
ALLOWED = {
    *("div", "p", "strong", "small", "table", "thead", "tbody", "tr", "th", "td"),
    *("details", "summary", "figure", "figcaption", "img", "progress"),
}


class Tags(HTMLParser):
    """The elements of a piece of HTML, its words and its pictures; each is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.words = ""
        self.pictures: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        assert {name for name, _ in attrs} <= {"style", "alt", "src", "value", "max"}
        if tag == "img":
            source = dict(attrs)["src"] or ""
            assert source.startswith("data:image/svg+xml;base64,")
            self.pictures.append(base64.b64decode(source.partition(",")[2]).decode())
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_an_evaluation_shows_all_it_has_and_takes_no_name_for_html() -> None:
    found = Tags(EVALUATION._repr_html_())
    assert found.names <= ALLOWED
    for words in ("0.9000", "0.8800 to 0.9200", "1,234", "from 0.2500 on", "590", "114", "–", EVIL):
        assert words in found.words
    assert len(found.pictures) == 5
    for svg in found.pictures:
        assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
        assert not re.search("<script|<img|onerror=b>", svg)
        assert 'width="-' not in svg
        assert "nan" not in svg


def test_the_pictures_are_svg_that_a_parser_takes() -> None:
    from xml.etree import ElementTree

    for svg in Tags(EVALUATION._repr_html_()).pictures:
        assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"


def test_of_many_classes_some_are_shown_and_the_rest_is_counted() -> None:
    classes = tuple(ClassFigures(f"c{n}", 0.9, 0.8, 0.85, 1) for n in range(500))
    many = Evaluation(examples=500, metrics={"accuracy": 0.9}, classes=classes)
    html = many._repr_html_()
    assert "480 more" in html
    assert len(html) < 10_000
    dots = replace(many, fits=(Fit("t", np.arange(1e5), np.arange(1e5)),))
    assert len(dots._repr_html_()) < 100_000


def test_an_artifact_shows_where_it_is_from(iris_model: Path) -> None:
    artifact = Artifact.open(iris_model)
    found = Tags(artifact._repr_html_())
    assert found.names <= ALLOWED
    for words in ("kmeans", "train:msd", "restarts", "model-0000.params"):
        assert words in found.words
    encoding = artifact.metadata.model_copy(update={"algorithm": EVIL, "distribution": EVIL})
    assert "<script" not in Artifact(iris_model, encoding)._repr_html_()
    assert "Metadata" not in repr(artifact)


def test_the_catalog_shows_algorithms_and_problems() -> None:
    found = Tags(catalog()._repr_html_())
    assert found.names <= ALLOWED
    assert "mnist-cnn" in found.words
    broken = Catalog({}, (Problem(EVIL, EVIL, EVIL),))
    assert EVIL in Tags(broken._repr_html_()).words


def test_progress_is_a_bar_and_then_the_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    reporter = NotebookReporter()
    monkeypatch.setattr(reporter, "_draw", lambda: None)  # which needs a notebook around it
    reporter.message(EVIL)
    reporter.begin(200)
    reporter.step(50)
    assert "50 of 200 steps" in reporter._repr_html_()
    values = {"train:loss": 0.5, "train:throughput": 1.0}
    for epoch in range(1, 31):
        reporter.metrics(values, epoch=epoch, step=epoch)
    reporter.metrics({"test:accuracy": 0.25}, epoch=30, step=30)
    reporter.end()
    found = Tags(reporter._repr_html_())
    assert found.names <= ALLOWED - {"progress"}
    assert EVIL in found.words
    assert "0.2500" in found.words
    assert "throughput" not in found.words
    assert len(reporter._repr_html_()) < 5_000
