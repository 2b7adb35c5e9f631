"""Bodies in, bytes out: what is read, what is refused and where, through the public face."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import re
import struct
import subprocess
import sys
import warnings
import zlib

import numpy
import pytest
from algoshelf.core import codecs
from algoshelf.core.runtime.errors import (
    DataError,
    MalformedPayloadError,
    NotAcceptableError,
    PayloadError,
    UnfitPayloadError,
    UnsupportedContentTypeError,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

TABULAR = (codecs.CSV, codecs.JSON, codecs.JSONLINES)
ARRAYS = (*TABULAR, codecs.NPY)


def refused(expected, call, *arguments, **options):
    with pytest.raises(expected) as caught:
        call(*arguments, **options)
    assert type(caught.value) is expected
    return caught.value.faults


# Content types


@pytest.mark.parametrize(
    ("header", "media"),
    [
        ("text/csv; charset=utf-8; label_size=0", codecs.CSV),
        (" Application/JSON ", codecs.JSON),
        ("text/json", codecs.JSON),
        ("application/jsonl", codecs.JSONLINES),
        ("application/x-jsonlines", codecs.JSONLINES),
        ("application/x-ndjson;charset=utf-8", codecs.JSONLINES),
        ("image/jpg", codecs.JPEG),
        ("text/html", "text/html"),
        ("", ""),
    ],
)
def test_media_type(header, media):
    assert codecs.media_type(header) == media


def test_check_content_type_gives_the_media_type_or_says_what_is_accepted():
    assert codecs.check_content_type("application/jsonl", (codecs.JSONLINES,)) == codecs.JSONLINES
    (fault,) = refused(
        UnsupportedContentTypeError, codecs.check_content_type, "image/pngg", ["image/png", "a/b"]
    )
    assert fault == (
        "content type 'image/pngg' is not accepted (did you mean 'image/png'?): "
        "expected image/png or a/b"
    )


@pytest.mark.parametrize(
    ("name", "media"),
    [
        ("a.csv", codecs.CSV),
        ("a.json", codecs.JSON),
        ("a.jsonl", codecs.JSONLINES),
        ("a.jsonlines", codecs.JSONLINES),
        ("a.ndjson", codecs.JSONLINES),
        ("a.npy", codecs.NPY),
        ("a.txt", codecs.TEXT),
        ("folder.csv/A.PNG", codecs.PNG),
        ("a.jpg", codecs.JPEG),
        ("a.jpeg", codecs.JPEG),
    ],
)
def test_content_type_of_goes_by_extension(tmp_path, name, media):
    assert codecs.content_type_of(name) == media
    assert codecs.content_type_of(tmp_path / name) == media


@pytest.mark.parametrize("name", ["a.tiff", "a", "csv", "a.csv.gz"])
def test_content_type_of_an_unknown_extension_says_what_to_do(name):
    (fault,) = refused(UnsupportedContentTypeError, codecs.content_type_of, name)
    assert name in fault
    assert ".ndjson" in fault
    assert "pass --content-type" in fault


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, codecs.JSON),
        ("", codecs.JSON),
        (" , ", codecs.JSON),
        ("*/*", codecs.JSON),
        ("*; q=.2", codecs.JSON),
        ("text/csv", codecs.CSV),
        ("TEXT/CSV; charset=utf-8", codecs.CSV),
        ("text/*, application/json;q=0.5", codecs.CSV),
        ("text/csv, application/json", codecs.JSON),
        ("text/csv;q=0.9, application/json;q=0.8", codecs.CSV),
        ("application/*", codecs.JSON),
        ("application/*, application/json;q=0", codecs.NPY),
        ("*/*;q=0.1, application/json;q=0, application/x-npy;q=0.05", codecs.CSV),
        ("application/json;version=1;q=0.1, text/csv;Q=0.2", codecs.CSV),
        ("image/webp, */*;q=0.8", codecs.JSON),
        ("text/csv;q=high", codecs.CSV),
    ],
)
def test_negotiate(accept, chosen):
    assert codecs.negotiate(accept, [codecs.JSON, codecs.CSV, codecs.NPY]) == chosen


@pytest.mark.parametrize("accept", ["text/html", "text/csv;q=0", "*/*;q=0.0", "/", "csv", ";q=1"])
def test_negotiate_says_what_is_offered(accept):
    (fault,) = refused(NotAcceptableError, codecs.negotiate, accept, [codecs.JSON, codecs.CSV])
    assert fault.endswith("expected application/json or text/csv")


@settings(max_examples=100)
@given(st.text(max_size=30) | st.from_regex(r"([a*]/[b*](;q=[0-9.]{1,4})?,?){1,4}"))
def test_negotiate_chooses_or_refuses_whatever_the_header(accept):
    with contextlib.suppress(NotAcceptableError):
        assert codecs.negotiate(accept, ["a/b", "a/c"]) in ("a/b", "a/c")


def test_the_names_of_content_types_cost_no_pillow():
    code = (
        "import sys, algoshelf.core.payload as c; c.media_type('text/csv'); "
        "c.encode_json({'a': [1, 'b']}); sys.exit('PIL' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Records


@pytest.mark.parametrize(
    ("body", "records"),
    [
        (b'[1, "two", [3], {"text": "four"}, null]', [1, "two", [3], {"text": "four"}, None]),
        (b'{"instances": [[1, 2], [3]], "signature_name": "x"}', [[1, 2], [3]]),
        (b'{"instances": [{"features": [1.5]}, {"features": "a"}]}', [[1.5], "a"]),
        (b'[{"data": {"features": {"values": [1, 2]}}}]', [[1, 2]]),
        (b'[{"features": [1], "id": 7}]', [{"features": [1], "id": 7}]),
        (
            b'[{"data": {"features": {"keys": [9], "values": [1]}}}]',
            [{"data": {"features": {"keys": [9], "values": [1]}}}],
        ),
        (b'\xef\xbb\xbf["\xc3\xa9", "NaN"]', ["é", "NaN"]),
        (b"[1, 2]\r\n", [1, 2]),
        (b'[{"a": 1, "a": 2}]', [{"a": 2}]),
    ],
)
def test_json_records(body, records):
    assert codecs.decode_records(body, codecs.JSON) == records


def test_jsonlines_records_skip_blank_lines_and_are_unwrapped():
    body = '\ufeff{"features": [1]}\r\n\n  \n"a\u2028b"\n{"instances": [1]}'.encode()
    assert codecs.decode_records(body, "application/x-ndjson") == [
        [1],
        "a\u2028b",
        {"instances": [1]},
    ]


def test_csv_records_are_text_and_may_be_quoted():
    body = '\ufeffgood,"a, ""b"" c"\r\n"two\nlines"\n""\n\n'.encode()
    assert codecs.decode_records(body, "text/csv; charset=utf-8") == [
        ["good", 'a, "b" c'],
        ["two\nlines"],
        [""],
    ]


@pytest.mark.parametrize(
    ("body", "content_type", "fault"),
    [
        (b"[1,\n 2,\n ]", codecs.JSON, "line 3, column 2: "),
        (b"[1] [2]", codecs.JSON, "line 1, column 5: Extra data"),
        (b'["a", "\xff"]', codecs.JSON, "byte offset 7: not UTF-8"),
        (b"1\n\n{'a': 1}\n", codecs.JSONLINES, "line 3, column 2: "),
        (b'a,"b\n', codecs.CSV, "line 1: "),
        (b'a\n"b"c\n', codecs.CSV, "line 2: "),
        (b"a\n\nb\n", codecs.CSV, "line 2 is empty"),
        (b"[" * 100_000, codecs.JSON, "line 1: nested too deep"),
        (b"1\n" + b'{"a":' * 100_000, codecs.JSONLINES, "line 2: nested too deep"),
    ],
)
def test_malformed_records_say_where(body, content_type, fault):
    (sentence,) = refused(MalformedPayloadError, codecs.decode_records, body, content_type)
    assert sentence.startswith(fault)


@pytest.mark.parametrize(
    ("body", "content_type", "fault"),
    [
        (b'["NaN\\"",\n  NaN]', codecs.JSON, "line 2, column 3: NaN is not a finite number"),
        (b"[-Infinity]", codecs.JSON, "line 1, column 2: -Infinity is not a finite number"),
        (b"1\n[2, Infinity]", codecs.JSONLINES, "line 2, column 5: Infinity is not"),
        (b"3", codecs.JSON, "the body is 3: expected a list of examples"),
        (b'{"features": [1]}', codecs.JSON, "the body is an object: expected a list"),
        (b'{"instances": 1}', codecs.JSON, "the body is an object: expected a list"),
        (b'"text"', codecs.JSON, "the body is 'text': expected a list"),
    ],
)
def test_unfit_records_say_where_and_what_is_expected(body, content_type, fault):
    (sentence,) = refused(UnfitPayloadError, codecs.decode_records, body, content_type)
    assert sentence.startswith(fault)


@pytest.mark.parametrize("content_type", TABULAR)
@pytest.mark.parametrize("body", [b"", b" \r\n\n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("decode", [codecs.decode_records, codecs.decode_array])
def test_an_empty_body_is_malformed(decode, body, content_type):
    (fault,) = refused(MalformedPayloadError, decode, body, content_type)
    assert fault.startswith("the body is empty: expected at least one ")


@pytest.mark.parametrize("body", [b"[]", b'{"instances": []}'])
def test_no_examples_are_an_empty_body(body):
    (fault,) = refused(MalformedPayloadError, codecs.decode_records, body, codecs.JSON)
    assert fault == "the body is empty: expected at least one example"


def test_an_integer_of_a_million_digits_is_refused_at_once():
    (fault,) = refused(
        MalformedPayloadError, codecs.decode_records, b"[" + b"9" * 1_000_000 + b"]", codecs.JSON
    )
    assert "4,300" in fault


def test_records_have_no_npy_form():
    (fault,) = refused(UnsupportedContentTypeError, codecs.decode_records, b"", codecs.NPY)
    assert fault.endswith(
        "expected application/json, application/jsonlines, text/csv or text/plain"
    )


def test_text_is_a_record_a_line_and_empty_lines_count():
    decode = codecs.decode_records
    assert decode("\ufeffgut\r\n\nschön".encode(), "text/plain; charset=utf-8") == [
        "gut",
        "",
        "schön",
    ]
    assert decode(b"a\x0bb\xc2\x85c\n", codecs.TEXT) == ["a\x0bb\x85c"]
    assert decode(b"\n", codecs.TEXT) == [""]
    assert decode(b" ", codecs.TEXT) == [" "]
    refused(MalformedPayloadError, decode, b"", codecs.TEXT)
    refused(MalformedPayloadError, decode, b"\xff", codecs.TEXT)


def test_a_cell_of_a_csv_may_be_long():
    assert codecs.decode_records(b"x" * 1_000_000, codecs.CSV) == [["x" * 1_000_000]]


# Arrays from text


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"1,2.5\n-3,4e2", codecs.CSV),
        (b"\xef\xbb\xbf1,2.5\r\n-3,4e2\r\n\r\n", codecs.CSV),
        (b'"1","2.5"\n -3 ,\t400', codecs.CSV),
        (b"1, 2.5\n-3, 400", codecs.CSV),
        (b"[[1, 2.5], [-3, 4e2]]", codecs.JSON),
        (b'{"instances": [{"features": [1, 2.5]}, {"features": [-3, 400]}]}', codecs.JSON),
        (b'[1, 2.5]\n{"data": {"features": {"values": [-3, 400]}}}\n', codecs.JSONLINES),
    ],
)
def test_text_to_array(body, content_type):
    values = codecs.decode_array(body, content_type)
    assert values.dtype == numpy.float32
    assert values.flags.writeable
    numpy.testing.assert_array_equal(values, [[1, 2.5], [-3, 400]])


def test_json_arrays_have_any_number_of_dimensions():
    assert codecs.decode_array(b"[1, 2, 3]", codecs.JSON).shape == (3,)
    images = numpy.arange(2 * 3 * 4 * 5, dtype=numpy.float32).reshape(2, 3, 4, 5)
    decoded = codecs.decode_array(codecs.encode_json(images), codecs.JSON)
    numpy.testing.assert_array_equal(decoded, images)
    deep = b"[" * 40 + b"1" + b"]" * 40
    (fault,) = refused(UnfitPayloadError, codecs.decode_array, deep, codecs.JSON)
    assert fault == "example 1 is a list nested 39 deep, expected 31 at most"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"[[1, 2], [3, 4], [5]]", "example 3: a list of 1, expected a list of 2, as in example 1"),
        (b"[[1], 2]", "example 2: 2, expected a list of 1, as in example 1"),
        (b"[1, [2]]", "example 2: a list, expected a number"),
        (b"[[[1], [2]], [[1], [2, 3]]]", "example 2, element 2: a list of 2, expected a list of 1"),
        (b"[[[1], [2, 3]]]", "example 1, element 2: a list of 2, expected a list of 1"),
        (b'[[1, 2], [3, "4"]]', "example 2, element 2: '4', expected a number"),
        (b"[[true]]", "example 1, element 1: true, expected a number"),
        (b"[[[1, null]]]", "example 1, element (1, 2): null, expected a number"),
        (b'[{"a": 1}]', "example 1: an object, expected a number"),
        (b"[[1, 1e39]]", "example 1, element 2: 1e+39 is not a finite float32"),
        (b"[[1, -1e400]]", "example 1, element 2: -inf is not a finite float32"),
        (b"[[1" + b"0" * 400 + b"]]", "example 1, element 1: an integer beyond float32's range"),
        (b"[[], []]", "example 1 holds no number"),
    ],
)
def test_unfit_json_arrays_say_where(body, fault):
    (sentence,) = refused(UnfitPayloadError, codecs.decode_array, body, codecs.JSON)
    assert sentence.startswith(fault)


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        (b"1,2\n3,abc\n", ["line 2, column 2: 'abc' is not a number"]),
        (b"1,2\n3,\n", ["line 2, column 2: '' is not a number"]),
        (b"1,2\n3\n4,5,6\n", ["line 2 has 1 columns, expected 2", "line 3 has 3 columns, exp"]),
        (b"1\n\n2\n", ["line 2 is empty"]),
        (b"1,nan,x\n", ["line 1, column 2: 'nan' is not a finite", "line 1, column 3: 'x'"]),
        (b"0x10", ["line 1, column 1: '0x10' is not a number"]),
        (b"1_0", ["line 1, column 1: '1_0' is not a number"]),
        (b"1 2", ["line 1, column 1: '1 2' is not a number"]),
        (b" ,0", ["line 1, column 1: '' is not a number"]),
        (b"0\n \n0", ["line 2 is empty"]),
        (b"0, ,0", ["line 1, column 2: '' is not a number"]),
        (b"1,-", ["line 1, column 2: '-' is not a number"]),
        (b"1,2e", ["line 1, column 2: '2e' is not a number"]),
        ("1,\u0663\n".encode(), ["line 1, column 2: '\u0663' is not a number"]),
        (b"\xff\n", ["line 1, column 1: '\ufffd' is not a number"]),
        (b"a" * 1000, ["line 1, column 1: '" + "a" * 37 + "...' is not a number"]),
    ],
)
def test_malformed_csv_says_where(body, faults):
    sentences = refused(MalformedPayloadError, codecs.decode_array, body, codecs.CSV)
    assert len(sentences) == len(faults)
    for sentence, fault in zip(sentences, faults):
        assert sentence.startswith(fault)


@pytest.mark.parametrize("number", ["nan", "-Inf", "Infinity", "1e39", "-1e400", "9" * 50])
def test_csv_numbers_that_are_not_finite_are_unfit(number):
    body = f"1,2\n3,{number}\n".encode()
    (fault,) = refused(UnfitPayloadError, codecs.decode_array, body, codecs.CSV)
    assert fault.startswith("line 2, column 2: ")
    assert fault.endswith(" is not a finite float32")


def test_float32_ends_where_numpy_says():
    largest = float(numpy.finfo(numpy.float32).max)
    beyond = numpy.nextafter(codecs.FLOAT32_LIMIT, 0)
    for text in (repr(largest), repr(float(beyond))):
        assert codecs.parse_csv(text.encode()) == numpy.float32(largest)
        assert codecs.decode_array(f"[{text}]".encode(), codecs.JSON) == numpy.float32(largest)
    refused(UnfitPayloadError, codecs.parse_csv, repr(codecs.FLOAT32_LIMIT).encode())


def test_parse_csv_serves_files_read_in_chunks():
    faults = refused(
        DataError,
        codecs.parse_csv,
        b"1,2\n1\nnan,x",
        columns=2,
        first_line=7,
        source="train.csv",
        error=DataError,
    )
    assert faults == (
        "train.csv: line 8 has 1 columns, expected 2",
        "train.csv: line 9, column 1: 'nan' is not a finite float32",
        "train.csv: line 9, column 2: 'x' is not a number",
    )
    assert codecs.parse_csv(b"\n", columns=785).shape == (0, 785)
    refused(MalformedPayloadError, codecs.parse_csv, b"\xef\xbb\xbf1", first_line=2)


def test_parse_csv_expects_the_columns_it_is_told():
    faults = refused(MalformedPayloadError, codecs.parse_csv, b"1,2\n3,4\n", columns=3)
    assert faults[0] == "line 1 has 2 columns, expected 3"


def test_faults_past_the_tenth_are_counted_but_not_without_end():
    def last(faults):
        return refused(MalformedPayloadError, codecs.parse_csv, b"1\n" + b"x\n" * faults)[-1]

    assert last(10) == "line 11, column 1: 'x' is not a number"
    assert last(11) == "... and 1 more"
    assert last(500_000) == "... and at least 990 more"
    lines = refused(MalformedPayloadError, codecs.decode_records, b"x\n" * 12, codecs.JSONLINES)
    assert len(lines) == 11
    assert lines[-1] == "... and 2 more"


def test_large_csv_files_are_read_without_a_loop_over_their_lines():
    rows = numpy.arange(2000 * 785).reshape(2000, 785) % 256
    body = "\n".join(",".join(map(str, row)) for row in rows.tolist()).encode()
    numpy.testing.assert_array_equal(codecs.parse_csv(body), rows)


NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def expected_rows(text):
    """What a CSV holds, by the plainest reading: None where it is to be refused."""
    lines = text.replace("\r\n", "\n").rstrip(" \t\r\n").split("\n")
    rows = []
    for line in lines:
        cells = []
        for cell in line.split(","):
            bare = cell.strip(" \t")
            if len(bare) > 1 and bare[0] == bare[-1] == '"':
                bare = bare[1:-1].strip(" \t")
            if not NUMBER.fullmatch(bare) or abs(float(bare)) >= codecs.FLOAT32_LIMIT:
                return None
            cells.append(float(bare))
        rows.append(cells)
    return rows if len({len(row) for row in rows}) == 1 else None


PARTS = ["-", "+", ".", "e", "1e", "1e+", "+5", "5.", ".5", "--1", "+-1", "1d5", '"', "''", '"1"']
NAMED = ["0x10", "0b1", "1_0", "nan", "inf", "1e39", "007", "1\x0b"]
BLANKS = ["", " ", "- 1", "1 2", " 3 ", "\t4"]
LARGE = ["16777217", "9007199254740993", "9223372036854775807", "99999999999999999999"]
CELLS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.integers(0, 255).map(str),
    st.floats(width=32).map(str),
    st.floats().map(repr),
    st.sampled_from(PARTS + NAMED + BLANKS + LARGE),
    st.text("0123456789+-.eE \t", max_size=6),
)
PLAIN_CELLS = st.integers(0, 10**17).map(str) | st.floats(-1e30, 1e30).map(str)


@settings(max_examples=300)
@given(st.data(), st.integers(1, 3), st.integers(1, 4), st.sampled_from(["\n", "\r\n"]))
def test_csv_is_read_exactly_as_the_plainest_reader_reads_it(data, columns, rows, end):
    mostly_good = st.lists(PLAIN_CELLS, min_size=columns, max_size=columns)
    any_cells = st.lists(CELLS, min_size=columns, max_size=columns) | st.lists(CELLS, max_size=4)
    cells = data.draw(st.lists(mostly_good | any_cells, min_size=rows, max_size=rows))
    text = end.join(",".join(row) for row in cells) + data.draw(st.sampled_from(["", end]))
    if not text.strip():
        return
    expected = expected_rows(text)
    if expected is None:
        with pytest.raises(PayloadError):
            codecs.parse_csv(text.encode())
    else:
        exact = numpy.array(expected, numpy.float64).astype(numpy.float32)
        numpy.testing.assert_array_equal(codecs.parse_csv(text.encode()), exact)


@settings(max_examples=400)
@given(st.text("0123456789+-.eE,\n \t", min_size=1, max_size=12))
def test_no_text_of_number_characters_is_read_otherwise(text):
    if not text.strip():
        return
    expected = expected_rows(text)
    if expected is None:
        with pytest.raises(PayloadError):
            codecs.parse_csv(text.encode())
    else:
        exact = numpy.array(expected, numpy.float64).astype(numpy.float32)
        numpy.testing.assert_array_equal(codecs.parse_csv(text.encode()), exact)


# npy


def npy(array, **options):
    stream = io.BytesIO()
    numpy.save(stream, array, **options)
    return stream.getvalue()


def npy_of(header, data=b"", version=(1, 0)):
    length = struct.pack("<H" if version[0] == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes(version) + length + header + data


def header(descr="<f4", order=False, shape="(2, 3)"):
    return f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()


@pytest.mark.parametrize(
    "dtype", ["?", "u1", "i1", "<u2", ">u2", "<i4", ">i8", "<f2", ">f4", "<f8", ">f8"]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_keeps_dtype_and_values(dtype, order):
    array = numpy.array(numpy.arange(24).reshape(2, 3, 4) % 2, dtype, order=order)
    decoded = codecs.decode_array(npy(array), codecs.NPY)
    assert decoded.dtype == array.dtype.newbyteorder("=")
    assert decoded.dtype.isnative
    assert decoded.flags.c_contiguous
    assert decoded.flags.writeable
    numpy.testing.assert_array_equal(decoded, array)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_npy_versions(version):
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, on versions 2 and 3
        numpy.lib.format.write_array(stream, numpy.ones((2, 3)), version=version)
    assert codecs.decode_array(stream.getvalue(), codecs.NPY).shape == (2, 3)


def test_npy_headers_of_other_writers():
    spaced = b"{ 'shape' :(3,),'fortran_order':False , 'descr': '|u1'}"
    assert codecs.decode_array(npy_of(spaced, b"\x01\x02\x03"), codecs.NPY).tolist() == [1, 2, 3]
    odd_bools = codecs.decode_array(npy_of(header("|b1", shape="(2,)"), b"\x00\x07"), codecs.NPY)
    assert odd_bools.view(numpy.uint8).tolist() == [0, 1]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x93NUMPY",
        b"not an array at all",
        npy(numpy.ones(3))[:-1],
        npy(numpy.ones(3)) + b"x",
        npy(numpy.ones(3))[:40],
        npy_of(header(), b"\0" * 23),
        npy_of(header(), b"\0" * 25),
        npy_of(header(shape="(1000000, 1000000, 1000000)"), b"\0" * 24),
        npy_of(header(shape="(99999999999999999999999999,)"), b"\0" * 24),
        npy_of(header(shape="(-2, -3)"), b"\0" * 24),
        npy_of(header(shape="(0, 3)")),
        npy_of(header(shape="(2, 0)")),
        npy_of(header(shape="(99999999999999999999, 0)")),
        npy_of(header(shape="__import__('os').system('true')"), b"\0" * 24),
        npy_of(header(order="Maybe"), b"\0" * 24),
        npy_of(header(), b"\0" * 24, version=(4, 0)),
        npy_of(header(), b"\0" * 24, version=(1, 1)),
        npy_of(header() + b" " * 5000, b"\0" * 24),
        npy_of(b"(" * 4000),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + header(),
        pickle.dumps(numpy.ones(3)),
    ],
)
def test_malformed_npy(body):
    refused(MalformedPayloadError, codecs.decode_array, body, codecs.NPY)


def test_an_npy_header_that_lies_is_told_both_numbers():
    body = npy_of(header(shape="(2, 4)"), b"\0" * 24)
    (fault,) = refused(MalformedPayloadError, codecs.decode_array, body, codecs.NPY)
    assert "announces 32 bytes" in fault
    assert fault.endswith("the body holds 24")


@pytest.mark.parametrize(
    "body",
    [
        npy(numpy.array([["a", "b"]])),
        npy(numpy.array([b"a"])),
        npy(numpy.array([1j])),
        npy(numpy.zeros(2, [("a", "<f4"), ("b", "<i4")])),
        npy(numpy.array(["2020-01-01"], "datetime64[D]")),
        npy(numpy.float32(3)),
        npy_of(header("<f3"), b"\0" * 18),
        npy_of(header("O"), b"\0" * 48),
        npy_of(header(shape="(" + "1," * 33 + ")"), b"\0" * 4),
    ],
)
def test_unfit_npy(body):
    refused(UnfitPayloadError, codecs.decode_array, body, codecs.NPY)


def test_npy_numbers_that_are_not_finite_are_named():
    array = numpy.ones((3, 2, 2), ">f8")
    array[1, 0, 1] = numpy.nan
    array[2, 1, 1] = -numpy.inf
    assert refused(UnfitPayloadError, codecs.decode_array, npy(array), codecs.NPY) == (
        "example 2, element (1, 2): not a finite number",
        "example 3, element (2, 2): not a finite number",
    )
    everywhere = npy(numpy.full(300, numpy.nan, "f2"))
    faults = refused(UnfitPayloadError, codecs.decode_array, everywhere, codecs.NPY)
    assert faults[0] == "example 1: not a finite number"
    assert faults[-1] == "... and 290 more"


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_is_never_loaded(tmp_path):
    trace = tmp_path / "unpickled"
    body = npy(numpy.array([Bomb(str(trace))], dtype=object), allow_pickle=True)
    (fault,) = refused(UnfitPayloadError, codecs.decode_array, body, codecs.NPY)
    assert fault == "the npy array's dtype is '|O', expected bool, int, uint or float"
    disguised = body.replace(b"'|O'", b"'<f8'")
    with pytest.raises(PayloadError):
        codecs.decode_array(disguised, codecs.NPY)
    with pytest.raises(PayloadError):
        codecs.decode_array(pickle.dumps(Bomb(str(trace))), codecs.NPY)
    assert not trace.exists()
    numpy.load(io.BytesIO(body), allow_pickle=True)
    assert trace.exists()  # the bomb was live


# Images


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, pixels, extra=b""):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    rest = chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + extra + rest


def grey16(values, extra=b""):
    return png(len(values), 1, 16, 0, b"\0" + struct.pack(f">{len(values)}H", *values), extra)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK"])
def test_image_modes_become_rgb_and_grey(mode):
    image = Image.new("RGB", (4, 3), "white").convert(mode)
    body = encoded(image, "JPEG" if mode == "CMYK" else "PNG")
    rgb, grey = codecs.decode_image(body), codecs.decode_image(body, mode="L")
    assert (rgb.shape, rgb.dtype, grey.shape, grey.dtype) == ((3, 4, 3), "u1", (3, 4), "u1")
    assert rgb.min() == grey.min() == 255
    assert rgb.flags.writeable


def test_png_pixels_are_exact():
    pixels = numpy.random.RandomState(0).randint(0, 256, (5, 7, 3)).astype(numpy.uint8)
    assert (codecs.decode_image(encoded(Image.fromarray(pixels))) == pixels).all()
    grey = encoded(Image.fromarray(pixels[..., 0]))
    assert (codecs.decode_image(grey, mode="L") == pixels[..., 0]).all()


def test_sixteen_bit_grey_is_scaled():
    body = grey16([0, 257, 128, 129, 32768, 65535])
    assert codecs.decode_image(body, mode="L").tolist() == [[0, 1, 0, 1, 128, 255]]
    assert codecs.decode_image(body)[0, :, 2].tolist() == [0, 1, 0, 1, 128, 255]
    see_through = grey16([0, 257], chunk(b"tRNS", struct.pack(">H", 257)))
    assert codecs.decode_image(see_through, mode="L").tolist() == [[0, 255]]


def test_what_is_transparent_lies_on_white():
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    image.putpixel((2, 0), (0, 0, 0, 128))
    shown = codecs.decode_image(encoded(image))[0].tolist()
    assert shown == [[255, 255, 255], [255, 0, 0], [127, 127, 127]]
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.putpixel((1, 0), 1)
    for transparency in (0, b"\x00\xff"):
        body = encoded(palette, transparency=transparency)
        assert codecs.decode_image(body)[0].tolist() == [[255, 255, 255], [10, 20, 30]]
    grey = encoded(Image.new("L", (1, 1), 7), transparency=7)
    assert codecs.decode_image(grey, mode="L").tolist() == [[255]]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    ("orientation", "rows"), [(1, "top"), (3, "bottom"), (6, "right"), (8, "left")]
)
def test_exif_orientation_is_applied(kind, orientation, rows):
    pixels = numpy.zeros((16, 32), numpy.uint8)
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = codecs.decode_image(encoded(Image.fromarray(pixels), kind, exif=exif), mode="L")
    light = numpy.argwhere(decoded > 128).mean(axis=0) - numpy.array(decoded.shape) / 2
    side = {"top": light[0] < -3, "bottom": light[0] > 3, "left": light[1] < -3}
    assert {**side, "right": light[1] > 3}[rows]


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    body = encoded(frames[0], save_all=True, append_images=frames[1:])
    assert b"acTL" in body
    assert codecs.decode_image(body)[0, 0].tolist() == [255, 0, 0]


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded():
    body = encoded(Image.new("L", (30, 20)))
    assert codecs.decode_image(body, max_pixels=600).shape == (20, 30, 3)
    (fault,) = refused(UnfitPayloadError, codecs.decode_image, body, max_pixels=599)
    assert fault == "the image has 30 x 20 = 600 pixels, expected 599 at most"
    for side in (8000, 10_000, 2**31 - 1):  # below, between and beyond Pillow's own limits
        bomb = png(side, side, 1, 0, b"")
        refused(UnfitPayloadError, codecs.decode_image, bomb)


PHOTO = Image.fromarray(numpy.random.RandomState(1).randint(0, 256, (40, 40, 3)).astype("u1"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        encoded(PHOTO, "GIF"),
        encoded(PHOTO, "BMP"),
        encoded(PHOTO, "TIFF"),
        encoded(PHOTO)[:-600],
        encoded(PHOTO)[:-12],
        encoded(PHOTO)[:2000] + b"\0" + encoded(PHOTO)[2001:],
        encoded(PHOTO, "JPEG")[:-400],
        encoded(PHOTO, "JPEG")[:100],
        png(0, 5, 8, 0, b""),
        png(5, 5, 8, 0, b""),
    ],
)
def test_malformed_images(body, capfd, recwarn):
    (fault,) = refused(MalformedPayloadError, codecs.decode_image, body)
    assert "0x" not in fault
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_an_unknown_mode_is_the_programmers_error():
    with pytest.raises(ValueError, match="expected 'RGB' or 'L'"):
        codecs.decode_image(encoded(PHOTO), mode="HSV")


# Answers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5, None, True, "é\n"]}, b'{"a":[1,2.5,null,true,"\\u00e9\\n"]}'),
        (numpy.float32(0.1), b"0.1"),
        (numpy.float16(0.1), b"0.1"),
        (numpy.float64(0.1), b"0.1"),
        (numpy.array([[0.1, 1e10], [-3, 1e-7]], "f4"), b"[[0.1,10000000000.0],[-3.0,1e-07]]"),
        ({"p": numpy.array([0.1]), "n": numpy.int64(3)}, b'{"p":[0.1],"n":3}'),
        ([numpy.bool_(True), numpy.uint8(255), numpy.str_("a")], b'[true,255,"a"]'),
        (numpy.array(2, "i4"), b"2"),
        (numpy.zeros((0, 3), "f4"), b"[]"),
        (numpy.array([True, False]), b"[true,false]"),
        (numpy.array([0.5, 1], ">f4"), b"[0.5,1.0]"),
    ],
)
def test_encode_json(value, text):
    assert codecs.encode_json(value) == text


@settings(max_examples=200)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_float32_survives_every_text(numbers):
    values = numpy.array(numbers, numpy.float32).reshape(-1, 1)
    for content_type, encode in (
        (codecs.JSON, codecs.encode_json),
        (codecs.JSONLINES, codecs.encode_jsonlines),
        (codecs.CSV, codecs.encode_csv),
    ):
        decoded = codecs.decode_array(encode(values), content_type)
        assert decoded.tobytes() == values.tobytes()
    assert max(map(len, codecs.encode_csv(values).split(b"\n"))) <= 22


@pytest.mark.parametrize("number", [float("nan"), float("inf"), numpy.float32("nan")])
@pytest.mark.parametrize("wrap", [lambda x: [x], lambda x: numpy.array([[1, x]])])
@pytest.mark.parametrize("encode", [codecs.encode_json, codecs.encode_jsonlines, codecs.encode_csv])
def test_nan_is_never_written(number, wrap, encode):
    with pytest.raises(ValueError, match=r"[Oo]ut of range"):
        encode(wrap(number))


@pytest.mark.parametrize("value", [{1, 2}, 1j, numpy.array([1j]), b"a", object()])
def test_what_json_has_no_form_for_is_a_type_error(value):
    with pytest.raises(TypeError):
        codecs.encode_json(value)


def test_encode_jsonlines_ends_each_row():
    assert codecs.encode_jsonlines([{"a": 1}, [2], "x\ny"]) == b'{"a":1}\n[2]\n"x\\ny"\n'
    assert codecs.encode_jsonlines([]) == b""


def test_encode_csv():
    rows = [["a", 'b "c", d', 1.5, None], (numpy.float32(0.1), numpy.int64(2))]
    assert codecs.encode_csv(rows) == b'a,"b ""c"", d",1.5,\n0.1,2\n'
    assert codecs.encode_csv(numpy.array([0.1, 2], "f4")) == b"0.1\n2.0\n"
    assert codecs.encode_csv(["good", "é", "\ud800"]) == "good\né\n?\n".encode()
    with pytest.raises(TypeError):
        codecs.encode_csv(numpy.zeros((1, 2, 2)))


@settings(max_examples=100)
@given(
    st.lists(
        st.lists(
            st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")),
            min_size=1,
            max_size=3,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_text_survives_csv(rows):
    body = codecs.encode_csv(rows)
    if body.decode().strip():
        assert codecs.decode_records(b"\xef\xbb\xbf" + body, codecs.CSV) == rows


def test_encode_npy():
    array = numpy.asfortranarray(numpy.arange(6, dtype="f4").reshape(2, 3))
    body = codecs.encode_npy(array)
    assert body[6:8] == b"\x01\x00"
    assert b"'fortran_order': False" in body
    numpy.testing.assert_array_equal(codecs.decode_array(body, codecs.NPY), array)
    with pytest.raises(ValueError, match="allow_pickle"):
        codecs.encode_npy(numpy.array([{}], dtype=object))


# Whatever comes

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["features", "data", "values", "instances"]), inner)
    ),
    max_leaves=8,
)
BODIES = st.one_of(
    st.binary(max_size=60),
    st.text('0123456789.,-eE"[]{}:\r\n NaInftrul', max_size=30).map(str.encode),
    JSON_VALUES.map(lambda value: json.dumps(value).encode()),
)


@pytest.mark.parametrize("content_type", ARRAYS)
@settings(max_examples=150)
@given(body=BODIES)
def test_any_body_is_an_array_or_a_payload_error(content_type, body):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(PayloadError):
            values = codecs.decode_array(body, content_type)
            assert values.size
            assert numpy.isfinite(values).all()


@pytest.mark.parametrize("content_type", TABULAR)
@settings(max_examples=150)
@given(body=BODIES)
def test_any_body_is_records_or_a_payload_error(content_type, body):
    with contextlib.suppress(PayloadError):
        assert codecs.decode_records(body, content_type)


def damaged(whole):
    """Bodies that are nearly whole: some bytes overwritten, the end cut or grown."""
    changes = st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=6)

    def damage(made, length, tail):
        body = bytearray(whole)
        for position, byte in made:
            body[position] = byte
        return bytes(body[:length]) + tail

    lengths = st.just(len(whole)) | st.integers(0, len(whole))
    return st.builds(damage, changes, lengths, st.binary(max_size=4))


@settings(max_examples=300)
@given(damaged(npy(numpy.ones((2, 3), "f4"))) | damaged(npy(numpy.ones(5, bool))))
def test_a_damaged_npy_is_an_array_or_a_payload_error(body):
    with contextlib.suppress(PayloadError):
        assert codecs.decode_array(body, codecs.NPY).size


SMALL = PHOTO.resize((9, 8))
EXIF = Image.Exif()
EXIF[0x0112] = 6


@settings(max_examples=400)
@given(
    st.one_of(
        st.binary(max_size=40),
        damaged(encoded(SMALL, exif=EXIF)),
        damaged(encoded(SMALL.convert("P"), transparency=3)),
        damaged(encoded(SMALL, "JPEG", exif=EXIF)),
        damaged(encoded(SMALL.convert("L"), "JPEG", progressive=True)),
        damaged(grey16(range(9))),
    ),
    st.sampled_from(["RGB", "L"]),
)
def test_any_image_is_pixels_or_a_payload_error(body, mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(PayloadError):
            pixels = codecs.decode_image(body, mode=mode, max_pixels=100_000)
            assert pixels.dtype == numpy.uint8


def test_an_image_is_scaled_to_the_size_asked_for() -> None:
    body = io.BytesIO()
    Image.fromarray(numpy.full((40, 60), 200, numpy.uint8)).save(body, "PNG")
    pixels = codecs.decode_image(body.getvalue(), mode="L", size=(20, 10))
    assert pixels.shape == (10, 20)
    assert (pixels == 200).all()
