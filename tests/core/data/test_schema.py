"""Tables as people have them: what each column is taken for, what is said, and what is refused."""

from __future__ import annotations

import json
import math
import random
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Sequence

import numpy as np
import pytest
from algoshelf.core import ArtifactError, DataError, UnfitPayloadError
from algoshelf.core.data import reading
from algoshelf.core.data.reading import Reading, using
from algoshelf.core.data.schema import Overrides, Schema, TableDataset, read_table, united

ROWS = 60


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What is told the user of the tables that are read in a test."""
    told: list[str] = []
    with using(Reading(), told.append):
        yield told


def written(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]], mark: str = ","
) -> Path:
    lines = [mark.join(map(str, row)) for row in ([header] if header else []) + list(rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def columns(count: int = ROWS, **cells: Any) -> tuple[list[str], list[list[Any]]]:
    """A table with a number ``x``, a word ``word``, the ``cells``, and a ``label``, yes or no."""
    random.seed(3)
    every = {
        "x": [round(random.gauss(5, 2), 3) for _ in range(count)],
        "word": [("red", "green", "blue")[i % 3] for i in range(count)],
        **cells,
        "label": [("yes", "no")[i % 2] for i in range(count)],
    }
    return list(every), [list(row) for row in zip(*every.values())]


def table(path: Path, count: int = ROWS, **cells: Any) -> Path:
    return written(path / "table.csv", *columns(count, **cells))


def learned(path: Path, **overrides: Any) -> tuple[Schema, TableDataset]:
    found = read_table(path)
    schema = Schema.infer(found, Overrides(**overrides))
    return schema, schema.dataset(found)


def column(schema: Schema, name: str) -> Any:
    return next(each for each in schema.columns if each.name == name)


def encoded(data: TableDataset, name: str) -> Any:
    """The encoded numbers (N,) of one feature."""
    names = [feature.name for feature in data.schema.encoded]
    return data.take(np.arange(len(data)))[0][:, names.index(name)]


def test_numbers_are_standardized_and_categories_coded(tmp_path: Path) -> None:
    schema, data = learned(table(tmp_path))
    x, y = data.take(np.arange(ROWS))
    assert x.dtype == np.float32
    assert x.shape == (ROWS, 2)
    assert abs(x[:, 0].mean()) < 1e-6
    assert abs(x[:, 0].std() - 1) < 1e-6
    assert x[:3, 1].tolist() == [3, 2, 1]  # blue, green, red
    assert schema.classes == ("no", "yes")
    assert y.dtype == np.int32
    assert y[:2].tolist() == [1, 0]


def test_the_schema_survives_json_and_another_form_of_it_is_refused(tmp_path: Path) -> None:
    schema, data = learned(table(tmp_path, when=["2020-01-31"] * 30 + ["2021-06-01"] * 30))
    document = json.loads(json.dumps(data.encoding["schema"]))
    assert Schema.from_json(document) == schema
    document["columns"][0]["scale"] = 0
    with pytest.raises(ArtifactError, match=r"columns.0.scale"):
        Schema.from_json(document)


def test_the_columns_are_shown(tmp_path: Path) -> None:
    schema, _ = learned(table(tmp_path, n=[""] * 15 + list(range(45))))
    lines = schema.shown().splitlines()
    assert lines[0].split() == ["column", "kind", "gaps", "different", "example"]
    assert "n" in lines[3]
    assert "25.0%" in lines[3]
    assert "target, 2 classes" in lines[4]


@pytest.mark.parametrize("gap", ["", "n/a", "NA", "NULL", "null", "None", "nan", "-", "?", " "])
def test_a_word_for_a_gap_is_one_in_numbers_and_categories(gap: str, tmp_path: Path) -> None:
    cells: dict[str, Any] = {"n": [gap, *range(1, ROWS)], "c": [gap] + ["a", "b"] * 29 + ["a"]}
    schema, data = learned(table(tmp_path, **cells))
    assert [column(schema, name).kind for name in "nc"] == ["number", "category"]
    assert [column(schema, name).gaps for name in "nc"] == [1, 1]
    assert math.isnan(encoded(data, "n")[0])
    assert encoded(data, "c")[0] == 0
    answered = schema.encode([{"n": gap, "c": gap}])[0]
    assert math.isnan(answered[2])
    assert answered[3] == 0


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        ('"1,234.5"', 1234.5),
        ("$1200", 1200),
        ('"$1,200"', 1200),
        ("12 %", 12),
        ("-3%", -3),
        ("(7)", -7),
        ("\u22125", -5),
        ("1e3", 1000),
        ("1'000", 1000),
        ("1 000", 1000),
    ],
)
def test_a_number_is_read_however_it_is_written(
    written: str, numbers: float, tmp_path: Path
) -> None:
    _, data = learned(table(tmp_path, n=[written] + [i + 0.5 for i in range(ROWS - 1)]))
    found = column(data.schema, "n")
    assert encoded(data, "n")[0] * found.scale + found.centre == pytest.approx(numbers, rel=1e-5)


def test_decimal_commas_are_told_by_the_column(tmp_path: Path) -> None:
    n = ["1.234,5"] + [f"{i},25" for i in range(ROWS - 1)]
    header, rows = columns(n=n, m=[1234 + i for i in range(ROWS)])
    rows = [[str(cell).replace(".", ",") if i == 0 else cell for i, cell in enumerate(row)]
            for row in rows]  # fmt: skip
    schema, data = learned(written(tmp_path / "t.csv", header, rows, ";"))
    assert [column(schema, name).kind for name in "xnm"] == ["number"] * 3
    found = column(schema, "n")
    assert encoded(data, "n")[0] * found.scale + found.centre == pytest.approx(1234.5)
    assert schema.encode([{"n": 1234.5}])[0, 2] == schema.encode([{"n": "1.234,5"}])[0, 2]


def test_decimal_commas_beside_points_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'n' has decimal commas and decimal points .*line 2"):
        learned(table(tmp_path, n=['"1,25"', "1.25"] * 30))


@pytest.mark.parametrize(
    ("cells", "parts"),
    [
        (["2020-01-31", "2020-02-29"], ["month", "weekday"]),
        (["2020-01-31T10:00:00Z", "2020-02-29T11:30:00+01:00"], ["month", "weekday", "clock"]),
        (["31.01.2020", "29.02.2020"], ["month", "weekday"]),
        (["01/31/2020", "02/29/2020"], ["month", "weekday"]),
        (["31 Jan 2020", "29 Feb 2020"], ["month", "weekday"]),
        (["Jan 31, 2020", "February 29, 2020"], ["month", "weekday"]),
        (["10:00", "11:30"], []),
    ],
)
def test_dates_and_times_become_days_and_their_parts(
    cells: list[str], parts: list[str], tmp_path: Path
) -> None:
    quoted = [f'"{cell}"' for cell in cells]
    schema, data = learned(table(tmp_path, when=quoted * 30))
    assert column(schema, "when").kind == "time"
    assert list(column(schema, "when").parts) == parts
    days = encoded(data, "when")
    assert days[0] == pytest.approx(-1, abs=1e-5)
    assert days[1] == pytest.approx(1, abs=1e-5)
    if "month" in parts:
        assert encoded(data, "when: month")[:2].tolist() == [1, 2]
        assert encoded(data, "when: weekday")[:2].tolist() == [5, 6]


EITHER, MONTH_FIRST = ["03/04/2020", "05/06/2020"] * 30, ["01/31/2020", "05/06/2020"] * 30


@pytest.mark.parametrize(
    ("decided", "others", "order", "expected"),
    [
        ("auto", ["2020-01-31"] * 60, "dmy", "read with the day first (--date-order decides)"),
        ("auto", MONTH_FIRST, "mdy", "read with the month first, as those of 'other' (--date-or"),
        ("day", MONTH_FIRST, "", "column 'other' holds dates that are none with the day first"),
        ("month", MONTH_FIRST, "mdy", ""),
        ("day", ["2020-01-31"] * 60, "dmy", ""),
    ],
)
def test_a_date_that_may_be_of_two_orders_is_said_or_decided(
    decided: str, others: list[str], order: str, expected: str, tmp_path: Path, said: list[str]
) -> None:
    path = table(tmp_path, when=EITHER, other=others)
    if not order:
        with pytest.raises(DataError, match=expected):
            learned(path, date_order=decided)
        return
    schema, _ = learned(path, date_order=decided)
    assert column(schema, "when").order == order
    assert (
        any(expected in text for text in said) if expected else not any("first" in t for t in said)
    )


def test_dates_of_both_orders_in_one_column_are_refused(tmp_path: Path, said: list[str]) -> None:
    with pytest.raises(DataError, match="dates that are none with the day first: write all as"):
        learned(table(tmp_path, when=["01/31/2020", "31/01/2020"] * 30))
    assert not any("read with" in text for text in said)


def test_a_target_of_dates_has_to_be_decided(tmp_path: Path) -> None:
    path = table(tmp_path, when=["2020-01-31", "2020-02-29"] * 30)
    with pytest.raises(DataError, match=r"'when' holds dates .*, which are neither classes nor"):
        learned(path, target="when", ignore="label")
    assert learned(path, target="when", target_kind="classes")[0].classes


def test_numbers_with_a_unit_are_said_to_be_names(tmp_path: Path, said: list[str]) -> None:
    schema, _ = learned(table(tmp_path, weight=[f"{i % 30} kg" for i in range(60)]))
    assert column(schema, "weight").kind == "category"
    assert any("write numbers without their unit if they are meant" in text for text in said)


def test_a_date_that_is_none_is_refused_in_a_request(tmp_path: Path) -> None:
    schema, _ = learned(table(tmp_path, when=["2020-01-31", "2020-02-29"] * 30))
    with pytest.raises(UnfitPayloadError, match="column 'when': '2020-02-30' is not a date"):
        schema.encode([{"when": "2020-02-30"}])


@pytest.mark.parametrize("pair", [("true", "false"), ("True", "False"), ("Y", "N"), ("0", "1")])
def test_booleans_are_known_in_every_form(pair: tuple[str, str], tmp_path: Path) -> None:
    schema, data = learned(table(tmp_path, flag=list(pair) * 30))
    first = encoded(data, "flag")[0]
    assert schema.encode([{"flag": pair[0].lower()}])[0, 2] == first
    if pair[0].lower() == "true":
        assert schema.encode([{"flag": True}])[0, 2] == first
    elif pair[0] == "0":
        assert schema.encode([{"flag": 0}])[0, 2] == first


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("id", range(100, 100 + ROWS)),
        ("customer_id", [f"C{i:05}" for i in range(ROWS)]),
        ("number", range(ROWS)),
        ("key", random.Random(1).sample(range(10_000), ROWS)),
    ],
)
def test_an_id_is_left_out_and_shown(name: str, cells: Any, tmp_path: Path) -> None:
    schema, _data = learned(table(tmp_path, **{name: cells}))
    assert column(schema, name).left_out == "another value in each row, as an id"
    assert len(schema.features) == 2
    assert "another value in each row, as an id" in schema.shown()
    decided: dict[str, Any] = (
        {"categorical": name, "rare": 1} if name == "customer_id" else {"numeric": name}
    )
    kept, _ = learned(table(tmp_path, **{name: cells}), **decided)
    assert column(kept, name).left_out == ""


def test_numbers_that_differ_in_each_row_are_no_id(tmp_path: Path) -> None:
    schema, _ = learned(table(tmp_path, price=random.Random(1).sample(range(10_000), ROWS)))
    assert column(schema, "price").left_out == ""


@pytest.mark.parametrize("cells", [["5"] * ROWS, ["all"] * ROWS, [""] * ROWS])
def test_a_constant_column_is_left_out(cells: list[str], tmp_path: Path) -> None:
    schema, _ = learned(table(tmp_path, same=cells))
    assert "in every row" in column(schema, "same").left_out


def test_a_constant_with_gaps_stays(tmp_path: Path) -> None:
    schema, data = learned(table(tmp_path, n=["5", ""] * 30, c=["only", ""] * 30))
    assert [column(schema, name).left_out for name in "nc"] == ["", ""]
    assert encoded(data, "n")[0] == 0
    assert encoded(data, "c")[:2].tolist() == [1, 0]


def test_a_text_is_left_out(tmp_path: Path) -> None:
    texts = [f"this is what customer {i} wrote about it" for i in range(ROWS)]
    schema, _ = learned(table(tmp_path, text=texts))
    assert column(schema, "text").left_out == "text, nearly all different"


def test_ten_thousand_categories(tmp_path: Path) -> None:
    count = 20_000
    cities = [f"city {i % 10_000}" for i in range(count)]
    schema, data = learned(table(tmp_path, count, city=cities))
    found = column(schema, "city")
    assert found.size == 10_001
    codes = encoded(data, "city")
    assert len(np.unique(codes)) == 10_000
    assert codes.max() == 10_000


def test_a_rare_category_is_one_of_the_others(tmp_path: Path) -> None:
    cells = ["once", "single", *["a", "b"] * 29]
    schema, data = learned(table(tmp_path, c=cells))
    found = column(schema, "c")
    assert found.categories == ("a", "b")
    assert encoded(data, "c")[:4].tolist() == [3, 3, 1, 2]
    assert found.size == 4
    assert "rare or new categories, taken together as one: c: 2 (such as 'once')" in data.note
    assert schema.encode([{"c": "new"}])[0, 2] == 3
    every, _ = learned(table(tmp_path, c=cells), rare=1)
    assert column(every, "c").size == 5


def test_few_whole_numbers_stay_numbers_unless_it_is_decided(tmp_path: Path) -> None:
    path = table(tmp_path, rooms=[1, 2, 3] * 20)
    assert column(learned(path)[0], "rooms").kind == "number"
    schema, _data = learned(path, categorical="rooms")
    assert column(schema, "rooms").categories == ("1", "2", "3")
    assert schema.encode([{"rooms": 2}, {"rooms": 2.0}, {"rooms": "2"}])[:, 2].tolist() == [2] * 3


def test_a_class_with_a_typo_is_warned_of_with_its_line(tmp_path: Path, said: list[str]) -> None:
    header, rows = columns()
    rows[16][-1] = "n"
    schema, _data = learned(written(tmp_path / "t.csv", header, rows))
    assert schema.classes == ("n", "no", "yes")
    assert any("one row alone has the value 'n' (line 18)" in text for text in said)


def test_a_class_with_one_row_is_for_the_hold_out_to_refuse(tmp_path: Path) -> None:
    from algoshelf.core.data.dataset import hold_out

    header, rows = columns()
    rows[16][-1] = "n"
    _, data = learned(written(tmp_path / "t.csv", header, rows))
    with pytest.raises(DataError, match="class 'n' has only one example"):
        hold_out(data, 0.1, np.random.default_rng(0))


def test_another_order_of_columns_is_taken_by_name(tmp_path: Path, said: list[str]) -> None:
    schema, data = learned(table(tmp_path))
    header, rows = columns()
    turned = written(tmp_path / "b.csv", header[::-1], [row[::-1] for row in rows])
    other = schema.dataset(read_table(turned))
    assert other.digest() == data.digest()
    assert any("are taken by their headings, in the order that" in text for text in said)


def test_a_missing_column_is_refused_by_name(tmp_path: Path) -> None:
    schema, _ = learned(table(tmp_path))
    header, rows = columns()
    short = written(tmp_path / "b.csv", header[1:], [row[1:] for row in rows])
    with pytest.raises(DataError, match="x missing"):
        schema.dataset(read_table(short))


def test_a_column_that_was_left_out_may_be_missing(tmp_path: Path, said: list[str]) -> None:
    schema, data = learned(table(tmp_path, id=range(ROWS)))
    other = schema.dataset(read_table(table(tmp_path)))
    assert other.digest() == data.digest()
    said.clear()
    schema.dataset(read_table(table(tmp_path, id=range(ROWS))))
    assert not said


def test_a_new_category_is_counted_and_said(tmp_path: Path) -> None:
    schema, _ = learned(table(tmp_path))
    header, rows = columns()
    for row in rows[:5]:
        row[1] = "violet"
    data = schema.dataset(read_table(written(tmp_path / "b.csv", header, rows)))
    assert "categories that training did not have, taken for gaps: word: 5 (such as" in data.note
    assert data.counts["unseen_categories"] == 5
    assert encoded(data, "word")[0] == 0


def test_rows_without_a_target_are_left_out_counted_and_said(tmp_path: Path) -> None:
    header, rows = columns()
    rows[3][-1], rows[9][-1] = "", "NA"
    schema, data = learned(written(tmp_path / "t.csv", header, rows))
    assert len(data) == ROWS - 2
    assert "2 rows without a target are left out (the first: line 5)" in data.note
    assert data.counts["without_target"] == 2
    assert schema.classes == ("no", "yes")


@pytest.mark.parametrize(
    ("target", "kind", "expected"),
    [
        ([0, 1] * 30, "auto", 2),
        ([1, 2, 3, 4] * 15, "auto", 4),
        (list(range(60)), "auto", 0),
        ([i / 7 for i in range(60)], "auto", 0),
        (["1.0", "0.0"] * 30, "auto", 2),
        ([1, 2, 3, 4] * 15, "numbers", 0),
        (list(range(30)) * 2, "classes", 30),
    ],
)
def test_a_target_is_of_classes_or_numbers_by_its_values(
    target: list[Any], kind: str, expected: int, tmp_path: Path
) -> None:
    header, rows = columns(y=target)
    path = written(tmp_path / "t.csv", header[:-1], [row[:-1] for row in rows])
    schema, data = learned(path, target_kind=kind)
    assert len(schema.classes) == expected
    if expected:
        assert data.encoding["classes"] == list(schema.classes)
        assert "1" in schema.classes
    else:
        assert data.encoding["targets"] == ["y"]
        assert data.y[:5].tolist() == pytest.approx([float(y) for y in target[:5]], rel=1e-6)


def test_several_targets(tmp_path: Path) -> None:
    path = table(tmp_path, a=[i / 3 for i in range(ROWS)], b=[i * 2 for i in range(ROWS)])
    schema, data = learned(path, target="b,a", ignore="label")
    assert schema.targets == ("b", "a")
    assert data.y.shape == (ROWS, 2)
    assert data.y[3].tolist() == [6, 1]
    with pytest.raises(DataError, match="of several targets, each is a number: 'word' is none"):
        learned(path, target="a,word")


def test_a_target_that_names_no_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names no classes"):
        learned(table(tmp_path, 66_000, text=(f"t{i}" for i in range(70_000))), target="text")


def test_what_is_to_be_estimated_has_to_be_told(tmp_path: Path, said: list[str]) -> None:
    header, rows = columns()
    header[-1] = "verdict"
    path = written(tmp_path / "t.csv", header, rows)
    with pytest.raises(DataError, match=r"--target says it.* its columns are x, word, verdict"):
        learned(path)
    assert learned(path, target="verdict")[0].classes
    assert learned(path, target="3")[0].classes
    with using(Reading(label_column="verdict"), said.append):
        assert learned(path)[0].classes
        with pytest.raises(DataError, match="--target word: --label-column says verdict"):
            learned(path, target="word")


def test_without_headings_the_first_column_is_the_target(tmp_path: Path) -> None:
    _, rows = columns()
    path = written(tmp_path / "t.csv", [], [row[::-1] for row in rows])
    schema, data = learned(path)
    assert schema.targets == ("column 1",)
    assert len(data) == ROWS
    other = schema.dataset(read_table(path))
    assert other.digest() == data.digest()
    assert schema.encode([["red", 5.0], ["no", "red", "5.0"]]).tolist()[0] == (
        schema.encode([["no", "red", "5.0"]])[0].tolist()
    )


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        ({"target": "nothing"}, "--target 'nothing': no such heading"),
        ({"categorical": "9"}, "--categorical 9: there are 3 columns"),
        ({"ignore": "label"}, "decided in two ways"),
        ({"numeric": "x", "categorical": "x"}, "decided in two ways"),
        ({"ignore": "x,word"}, "no column is left to learn from"),
    ],
)  # fmt: skip
def test_what_is_decided_and_cannot_be_is_refused(
    overrides: dict[str, str], match: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=match):
        learned(table(tmp_path), **overrides)


def test_a_number_column_with_a_word_is_refused_unless_it_is_decided(tmp_path: Path) -> None:
    path = table(tmp_path, n=["abc", *range(ROWS - 1)])
    with pytest.raises(
        DataError, match=r"'n' is not a number in 1 of 60 rows .*line 2: 'abc'.*--num"
    ):
        learned(path)
    schema, data = learned(path, numeric="n")
    assert math.isnan(encoded(data, "n")[0])
    schema, data = learned(path, categorical="n")
    assert column(schema, "n").kind == "category"


def test_numbers_and_words_in_equal_parts_are_names(tmp_path: Path) -> None:
    schema, _data = learned(table(tmp_path, ticket=["12", "PC 12", "13"] * 20))
    assert column(schema, "ticket").categories == ("12", "13", "PC 12")


def test_a_column_that_turns_into_words_late_is_counted_again(tmp_path: Path) -> None:
    count = 20_000  # several blocks
    cells = [str(i % 7) for i in range(10_000)] + [f"w{i % 5}" for i in range(10_000)]
    schema, data = learned(table(tmp_path, count, c=cells))
    assert column(schema, "c").size == 13
    assert encoded(data, "c").min() == 1


def test_two_columns_of_one_heading_are_refused(tmp_path: Path) -> None:
    header, rows = columns(X=range(ROWS))
    with pytest.raises(DataError, match="columns 1 and 3 have the same heading"):
        learned(written(tmp_path / "t.csv", header, rows))


# Requests


def test_a_request_may_name_columns_or_list_cells(tmp_path: Path) -> None:
    schema, data = learned(table(tmp_path, id=range(ROWS)))
    _, rows = columns(id=range(ROWS))
    first = data.take(np.arange(1))[0][0].tolist()
    x, word, number, label = rows[0]
    for record in (
        {"x": x, "word": word},
        {"WORD ": word, "X": str(x), "id": 7, "label": "yes"},
        [x, word],
        [x, word, number],
        [x, word, number, label],
    ):
        assert schema.encode([record])[0].tolist() == first


@pytest.mark.parametrize(
    ("record", "match"),
    [
        ({"x": "abc"}, "example 2, column 'x': 'abc' is not a number"),
        ({"x": "1e999"}, "example 2, column 'x': '1e999' is not a finite float32"),
        ({"x": 1e300}, "example 2, column 'x': .* is not a finite float32"),
        ({"x": 10**400}, "example 2, column 'x': .* is not a finite float32"),
        ({"x": [1]}, "example 2, column 'x': expected a number, a text or null, got a list"),
        ({"wrod": "red", "x": 1}, r"no column 'wrod' \(did you mean 'word'\?\)"),
        ({}, "names no column: expected x, word"),
        ([1], "example 2 has 1 cells, expected 2: x, word"),
        (5, "example 2: expected an object by column, or a list of 2 cells"),
        ("5", "example 2: expected an object by column"),
        (None, "example 2: expected an object by column"),
    ],
)
def test_every_fault_of_a_request_names_example_and_column(
    record: Any, match: str, tmp_path: Path
) -> None:
    schema, _ = learned(table(tmp_path))
    with pytest.raises(UnfitPayloadError, match=match):
        schema.encode([{"x": 1}, record])


def test_all_faults_of_a_request_are_told_and_no_more_than_ten(tmp_path: Path) -> None:
    schema, _ = learned(table(tmp_path))
    with pytest.raises(UnfitPayloadError) as caught:
        schema.encode([{"x": "abc"}] * 500)
    assert len(caught.value.faults) == 11
    assert caught.value.faults[-1] == "... and 490 more"


def test_a_column_more_is_no_fault_unless_it_is_a_known_one_mistyped(tmp_path: Path) -> None:
    schema, _ = learned(table(tmp_path))
    found = schema.encode([{"x": 1, "word": "red", "note": "by hand"}, {"word": "red", "note": 1}])
    assert found[:, 1].tolist() == [3, 3]


# Hosts


def together(*paths: Path, **overrides: Any) -> Schema:
    """The schema of the tables of hosts."""
    found = [Schema.with_facts(read_table(path), Overrides(**overrides)) for path in paths]
    schemas, facts = zip(*found)
    return united(schemas, facts, ["a", "b"], overrides.get("rare", 2))


DATES = ["03/04/2020", "07/04/2020"] * 15, ["2/28/2020", "3/01/2020"] * 15


def test_schemas_of_several_hosts_become_that_of_all_rows(tmp_path: Path) -> None:
    """Categories that are rare on each, a constant of its own on each, gaps on one alone, months
    of which each has one, dates of which only one tells the order, an id that goes on.
    """
    header, rows = columns(
        c=["a", "b"] * 14 + ["r", "s"] + ["b", "c"] * 14 + ["r", "t"],
        n=["5"] * 30 + ["6"] * 30,
        gap=[""] * 30 + list(range(30)),
        when=[*DATES[0], *DATES[1]],
        once=[*range(30), *range(30)],
        id=range(1, 61),
        often=["5"] * 30 + [""] * 5 + ["5"] * 25,
    )
    paths = [
        written(tmp_path / "all.csv", header, rows),
        written(tmp_path / "one.csv", header, rows[:30]),
        written(tmp_path / "two.csv", header, rows[30:]),
    ]
    whole, one = (Schema.infer(read_table(path)) for path in paths[:2])
    both = together(*paths[1:])
    assert column(one, "n").left_out == "5 in every row"
    assert both.features != one.features
    assert column(both, "c").categories == ("a", "b", "c", "r")
    assert column(both, "c").has_other
    assert column(both, "when").order == "mdy"
    assert column(both, "id").left_out
    for mine, expected in zip(both.columns, whole.columns):
        for name in ("left_out", "count", "gaps", "order", "parts", "categories", "has_other"):
            assert getattr(mine, name) == getattr(expected, name), (mine.name, name)
        for name in ("centre", "scale"):
            assert getattr(mine, name) == pytest.approx(getattr(expected, name)), mine.name
    same = together(paths[1], paths[1])
    assert same.classes == one.classes
    assert column(same, "n").left_out == "5 in every row"


def test_hosts_whose_columns_are_of_unlike_kinds_are_refused(tmp_path: Path) -> None:
    one, two, three = (tmp_path / name for name in ("1", "2", "3"))
    for folder in (one, two, three):
        folder.mkdir()
    numbers = table(one, c=[1, 2] * 30)
    with pytest.raises(DataError, match="'c' is not of one kind: number on a; category on b"):
        together(numbers, table(two, c=["a", "b"] * 30))
    fractions = table(three, c=[0.5 + i for i in range(60)])
    with pytest.raises(DataError, match="target 'c' holds classes on a, numbers on b: --target-ki"):
        together(numbers, fractions, target="c", ignore="label")


# Digests, memory, many columns


def test_twenty_thousand_columns(tmp_path: Path) -> None:
    """What is done for each column may not look at all the others: it would take an hour."""
    random.seed(1)
    names = [f"c{i}" for i in range(20_000)]
    rows = [[f"{random.random():.2f}" for _ in names] + [label] for label in "abab"]
    schema, data = learned(written(tmp_path / "t.csv", [*names, "label"], rows))
    assert data.take(np.arange(4))[0].shape == (4, 20_000)
    turned = written(tmp_path / "u.csv", ["label", *names[::-1]], [row[::-1] for row in rows])
    assert schema.dataset(read_table(turned)).digest() == data.digest()
    assert len(schema.shown().splitlines()) < 100


def test_the_digest_is_that_of_rows_and_targets(tmp_path: Path) -> None:
    _, data = learned(table(tmp_path))
    _, again = learned(table(tmp_path))
    assert data.digest() == again.digest()
    header, rows = columns()
    rows[0][-1] = "no"
    assert learned(written(tmp_path / "t.csv", header, rows))[1].digest() != data.digest()


def test_rows_that_memory_does_not_hold_lie_on_disk(tmp_path: Path) -> None:
    path = table(tmp_path)
    schema, data = learned(path)
    kept = schema.dataset(read_table(path), memory=256)
    assert not kept.rows.in_memory
    assert kept.digest() == data.digest()
    indices = np.array([5, 3, 50])
    assert np.array_equal(kept.take(indices)[0], data.take(indices)[0])


@contextmanager
def as_of(said: list[str], **decided: Any) -> Iterator[None]:
    with using(Reading(**decided), said.append):
        yield


def test_columns_and_header_are_decided_by_the_flags_of_reading(
    tmp_path: Path, said: list[str]
) -> None:
    path = table(tmp_path, other=range(ROWS))
    with as_of(said, columns="x,label"):
        assert [each.name for each in learned(path)[0].columns] == ["x", "label"]
    with as_of(said, header=False), pytest.raises(DataError):
        learned(path)


def test_the_headings_are_kept_for_later_tables(tmp_path: Path, said: list[str]) -> None:
    learned(table(tmp_path, id=range(ROWS)))
    found = reading.headings()
    assert found is not None
    assert found.columns == ("x", "word")
    assert found.labels == ("label",)
