"""Interactions are read as people have them, and what cannot be read is said."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.algorithms.recommender import sides
from algoshelf.core import DataError
from algoshelf.core.data import interaction_tables as data
from algoshelf.core.data import plain_numbers, recordio
from algoshelf.core.data.interactions import Interactions
from algoshelf.core.data.reading import Reading, using

ROWS = (("u9", "i1", 4.0, 100), ("u10", "i2", 2.5, 300), ("u9", "i3", 5.0, 200))


def read(path: Path, *, explicit: bool = True, known: Any = None, **columns: str) -> Interactions:
    return data.read(path, columns, explicit=explicit, known=known)


def named(found: Interactions) -> list[tuple[str, str, float]]:
    return [
        (found.users[user - 1], found.items[item - 1], float(rating))
        for (user, item), rating in zip(found.pairs, found.ratings)
    ]


def written(path: Path, separator: str, header: str = "", columns: int = 4) -> Path:
    lines = [separator.join(map(str, row[:columns])) for row in ROWS]
    path.write_text("\n".join(([header] if header else []) + lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("name", "separator", "header"),
    [
        ("ratings.csv", ",", "userId,movieId,rating,timestamp"),
        ("ratings.csv", ";", "User-ID;ITEM;Book-Rating;date"),
        ("u.data", "\t", ""),
        ("ratings.dat", "::", ""),
        ("plain.txt", ",", ""),
        ("bars.csv", "|", "customer|product|score|when"),
    ],
)
def test_common_forms_are_read_alike(
    name: str, separator: str, header: str, tmp_path: Path
) -> None:
    decided = {"user": "1"} if header.startswith("User-ID") else {}
    found = read(written(tmp_path / name, separator, header), **decided)
    assert named(found) == [row[:3] for row in ROWS]
    assert found.when is not None
    assert found.when.tolist() == [100, 300, 200]
    assert found.scale == (2.5, 5.0)


def test_columns_in_another_order_and_more_of_them(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("stars,note,item_id,user_id\n4.0,good,i1,u9\n2.5,,i2,u10\n5.0,x,i3,u9\n")
    found = read(path)
    assert named(found) == [row[:3] for row in ROWS]
    assert "1 more column is not read" in found.note
    path.write_text("stars,note,item_id,user_id\n4.0,good,i1,u9\n2.5,bad,i2,u10\n")
    assert read(path, item="2").items == ["bad", "good"]


def test_an_item_that_is_missing_is_told_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("user,item,rating\na,b,3\na,,4\nc,d,x\ne,f\n")
    with pytest.raises(DataError) as error:
        read(path)
    assert str(error.value).splitlines() == [
        f"{path}: line 3: there is no item",
        f"{path}: line 4: the rating 'x' is no number",
        f"{path}: line 5: 2 columns, where the first line has 3",
    ]


def test_clicks_need_no_rating_and_repeat(tmp_path: Path) -> None:
    path = tmp_path / "clicks.csv"
    path.write_text("session,article,time\na,x,2024-01-03\na,y,2024-01-01\na,x,2024-01-02\nb,x,5\n")
    found = read(path, explicit=False)
    assert found.scale is None
    assert sorted(named(found)) == [("a", "x", 1.0), ("a", "y", 1.0), ("b", "x", 1.0)]
    assert found.counts["repeated"] == 1
    assert found.when is not None
    day = np.datetime64("2024-01-03", "s").astype(int)
    assert found.when.max() == day
    with pytest.raises(DataError, match="--feedback implicit learns from who chose what"):
        read(path)


def test_users_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "u.data"
    path.write_text("10\t7\t3\n9\t7\t4\n100\t8\t5\n")
    assert read(path).users == ["9", "10", "100"]


def test_of_another_file_users_of_the_training_are_known(tmp_path: Path) -> None:
    train = read(written(tmp_path / "train.csv", ","))
    other = tmp_path / "test.csv"
    other.write_text("u9,i2,3\nu11,i1,4\nu10,i9,1\n")
    found = read(other, known=train.encoding)
    assert found.pairs.tolist() == [[2, 2], [0, 1], [1, 0]]
    assert found.encoding == train.encoding
    assert "1 of 3 users are not of the training" in found.note


def test_gzip_folders_and_another_encoding(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "a.csv.gz").write_bytes(gzip.compress(b"user,item,rating\nu9,i1,4\n"))
    (folder / "b.csv").write_bytes("user,item,rating\nJörg,i2,2\n".encode("utf-16"))
    with using(Reading(), lambda _: None):
        found = read(folder)
    assert named(found) == [("u9", "i1", 4.0), ("Jörg", "i2", 2.0)]


def test_which_columns_are_meant_has_to_be_known(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("who,user,rating\na,b,3\n")
    with pytest.raises(
        DataError, match="no column of items is found among 'who', 'user', 'rating'"
    ):
        read(path)
    assert read(path, item="who").items == ["a"]
    with pytest.raises(DataError, match="--item-column 'what': no such heading"):
        read(path, item="what")


@pytest.mark.parametrize(
    ("separator", "header", "odd"),
    [
        (",", "userId,movieId,rating,timestamp\r", ""),
        ("\t", "", ""),
        ("::", "", ""),
        (",", "", "1,007,3.5,9"),
        (",", "", "1,7.0,3.5,9"),
        (",", "", '"a,b",7,3.5,2020-01-31'),
        (";", "user;item;rating;time", "1;7;3,5;9"),
        (",", "", "1,7,NULL,9"),
    ],
)
def test_tables_of_numbers_are_read_as_any_other(
    separator: str, header: str, odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of numbers are parsed at once; with one odd row late in the table, all is read cell by
    cell. What is read is the same, name by name.
    """
    monkeypatch.setattr(plain_numbers, "BLOCK_BYTES", 1000)
    rng = np.random.default_rng(1)
    rows = rng.integers([1, 1, 1, 10**9], [40, 30, 6, 2 * 10**9], (500, 4)).tolist()
    lines = [separator.join(map(str, row)) for row in rows]
    path = tmp_path / "r.csv"
    path.write_text("\n".join(([header] if header else []) + lines + ([odd] if odd else [])))
    found = read(path)
    expected = [(str(user), str(item), float(rating)) for user, item, rating, _ in rows]
    assert named(found)[:500] == expected
    assert found.when is not None
    assert found.when[:500].tolist() == [row[3] for row in rows]
    if "NULL" in odd:
        assert found.counts["unrated"] == 1
        assert "1 row without a rating is left out (the first: line 501)" in found.note
    elif odd:
        ((user, item, rating),) = named(found)[500:]
        cells = odd.replace('"a,b"', "a+b").split(separator)
        assert (user.replace(",", "+"), item, rating) == (cells[0], cells[1], 3.5)


def test_headings_that_are_not_known_are_no_interaction(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("shopper,thing,worth\na,b,3\na,c,4\n")
    with pytest.raises(DataError, match=r"found among 'shopper', .*; --header no, if the first"):
        read(path, explicit=False)
    found = read(path, user="shopper", item="thing", rating="worth")
    assert named(found) == [("a", "b", 3.0), ("a", "c", 4.0)]
    path.write_text("a,b\na,c\nb,c\n")
    assert len(read(path, explicit=False)) == 3


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def message(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def record(label: float, keys: list[int], size: int) -> bytes:
    """As sagemaker.amazon.common.write_spmatrix_to_sparse_tensor writes it."""
    ones = np.ones(len(keys), "<f4").tobytes()
    tensor = message(1, ones) + message(2, b"".join(map(varint, keys))) + message(3, varint(size))
    features = message(1, message(1, b"values") + message(2, message(2, tensor)))
    values = message(1, np.array([label], "<f4").tobytes())
    labels = message(2, message(1, b"values") + message(2, message(2, values)))
    return recordio.frame(features + labels)


def test_records_of_factorization_machines(tmp_path: Path) -> None:
    path = tmp_path / "train.protobuf"
    keys = [[0, 945], [2, 2_000_000], [0, 946]]
    bodies = [record(rating, pair, 3_000_000) for rating, pair in zip((4.0, 2.5, 5.0), keys)]
    path.write_bytes(b"".join(bodies))
    assert named(read(path)) == [("0", "945", 4.0), ("2", "2000000", 2.5), ("0", "946", 5.0)]
    lines = tmp_path / "train.libsvm"
    lines.write_text("4 0:1 945:1\n2.5 2:1 2000000:1\n5 0:1 946:1\n")
    assert named(read(lines)) == named(read(path))
    path.write_bytes(b"".join([*bodies, record(1.0, [3], 3_000_000)]))
    with pytest.raises(DataError, match="record 4: 1 numbers are not 0, expected two"):
        read(path)


def test_parquet_is_read_where_pyarrow_is_installed(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = dict(zip(("user", "item", "rating", "timestamp"), zip(*ROWS)))
    path = tmp_path / "r.parquet"
    parquet.write_table(pyarrow.table({name: list(each) for name, each in columns.items()}), path)
    assert named(read(path)) == [row[:3] for row in ROWS]


def test_side_columns_become_properties(tmp_path: Path) -> None:
    path = tmp_path / "u.user"
    ages = [20 + n for n in range(40)]
    genres = ["crime|drama", "drama", "comedy", "crime"]
    lines = [f"{n}|{age}|{'FM'[n % 2]}|zip{n}" for n, age in enumerate(ages)]
    path.write_text("user_id|age|gender|zip\n" + "\n".join(lines) + "\n")
    found = sides.read(path, "user")
    assert found.note == (
        "40 users: age (10 ranges), gender (2 values), zip (left out: 40 different values)"
    )
    assert [found.properties[i - 1] for i in found.table[0]] == ["age=20 to 23.9", "gender=F"]
    items = tmp_path / "items.csv"
    rows = [f"{n},{genres[n % 4]}" for n in range(12)]
    items.write_text("item,genre\n" + "\n".join(rows) + "\n12,\n")
    found = sides.read(items, "item")
    assert found.note == "13 items: genre (3 values, several a cell)"
    assert [found.properties[i - 1] for i in found.table[0]] == ["genre=crime", "genre=drama"]
    assert found.table[12].tolist() == [0, 0]
    names, table = sides.aligned(found, ["3", "no sides"])
    assert names[:2] == ["3", "no sides"]
    assert len(names) == 14
    assert table[0].tolist() == table[2].tolist() == [0, 0]
    assert table[1].tolist() == found.table[3].tolist()


def test_a_name_that_stands_twice_is_told(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text("user,age\na,1\na,2\nb,1\nc,1\n")
    with pytest.raises(DataError, match="user 'a' has 2 rows, expected one"):
        sides.read(path, "user")
