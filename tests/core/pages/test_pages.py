"""Pages: what is on an axis, and that nothing of a table or a plot is taken for HTML."""

from __future__ import annotations

import re

import pytest
from algoshelf.core.pages import Table, document, drawing, figure, markdown_table, table
from algoshelf.core.pages.drawing import Axis, Series
from hypothesis import given
from hypothesis import strategies as st


def numbers(axis: Axis, values: list[float]) -> list[str]:
    """What is written along ``axis``, of a plot of ``values``."""
    return [text for _, text in axis.ticks(values)]


@pytest.mark.parametrize(
    ("axis", "values", "written"),
    [
        (Axis("x", zero=True), [0.3, 0.9], ["0.00", "0.25", "0.50", "0.75", "1.00"]),
        (Axis("x"), [0.9, 0.95], ["0.90", "0.92", "0.94", "0.96"]),
        (Axis("x"), [3.0, 3.0], ["0", "2", "4", "6"]),
        (Axis("x", counted=True), [1, 2], ["1", "2"]),
        (Axis("x", counted=True), [2, 12], ["0", "5", "10", "15"]),
        (Axis("x", log=True), [1e-4, 0.1], ["0.0001", "0.001", "0.01", "0.1"]),
        (Axis("x", log=True), [20, 80], ["20", "50", "100"]),
        (Axis("x", log=True), [10, 10], ["10", "20"]),
        (Axis("x", labels=("adam", "sgd")), [0, 1], ["", "adam", "sgd", ""]),
    ],
)
def test_what_is_written_along_an_axis(axis: Axis, values: list[float], written: list[str]) -> None:
    assert numbers(axis, values) == written


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=9), st.booleans(), st.booleans())
def test_an_axis_holds_its_values_between_few_ticks(
    values: list[float], log: bool, counted: bool
) -> None:
    axis = Axis("x", log=log, counted=counted and not log)
    places = [place for place, _ in axis.ticks(values)]
    assert 2 <= len(places) <= 8
    assert places == sorted(places)
    slack = 1e-6 * (places[-1] - places[0])
    assert places[0] - slack <= axis.at(min(values))
    assert axis.at(max(values)) <= places[-1] + slack


def test_a_plot_lies_within_its_frame() -> None:
    line = [(1e-5, 3.0), (0.3, -2.0)]
    drawn = drawing.lines([Series("one", [line], 0, dots=True)], Axis("x", log=True), Axis("y"), "")
    for x, y in re.findall(r'cx="([\d.-]+)" cy="([\d.-]+)"', drawn):
        assert drawing.LEFT <= float(x) <= drawing.WIDTH - drawing.RIGHT
        assert drawing.TOP <= float(y) <= drawing.HEIGHT - drawing.BOTTOM


def test_names_are_text_and_no_html() -> None:
    evil = "<script>alert(1)</script>"
    series = [Series(evil, [[(0.0, 1.0), (1.0, 2.0)]], 0)]
    svg = drawing.lines(series, Axis(evil), Axis(evil), evil)
    bars = drawing.bars([(evil, 1.0, [1.0])], evil, evil)
    told = Table([evil, evil], [[evil, evil]])
    page = document(evil, [table(told), figure(evil, svg, series, evil), figure(evil, bars)])
    assert "<script" not in page


def test_a_table_in_markdown() -> None:
    assert markdown_table(Table(["a", "b"], [["1|2", "3"]])) == (
        "| a | b |\n| --- | ---: |\n| 1/2 | 3 |"
    )
