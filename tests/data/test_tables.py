"""Every cell of a CSV table is read as in the file, or an error names the file, line and column."""

import gzip

import numpy as np
import pytest

from galaxy_vision.data.csv_tables import MAX_LINE, ROWS_PER_CHUNK, read_chunks, read_header, read_text


@pytest.fixture
def table(tmp_path):
    def write(content: str | bytes, name: str = "table.csv") -> str:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return str(tmp_path / name)

    return write


def rows(path: str) -> list[tuple]:
    chunks = read_chunks(path, ["id"], ["name"], ["value"])
    return [row for chunk in chunks for row in zip(chunk["id"], chunk["name"], chunk["value"], strict=True)]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n\n", "\ufeff\r\n"])
def test_whatever_separates_the_cells_and_begins_the_file(table, separator, start):
    lines = [
        ["other", "name", "id", "value"],
        ["x", "NA", "00005", "0.5"],
        ['"a;b,c\nd"', "", "587722981736120320", " 1e-3 "],
    ]
    path = table(start + "\r\n".join(separator.join(line) for line in lines))
    assert rows(path) == [("00005", "NA", 0.5), ("587722981736120320", "", 1e-3)]


@pytest.mark.parametrize("cell", ["", "NA", "nan", "null"])
def test_a_cell_without_a_number_is_nan(table, cell):
    assert np.isnan(rows(table(f"id,name,value\n1,x,{cell}\n"))[0][2])


@pytest.mark.parametrize(
    "content, message",
    [
        ("id;name;value\n1;x;0,5\n", "line 2, column value: '0,5' is not a number; write a decimal point"),
        ("id,name,value\n1,x,0,5\n", "line 2: 4 cells where the header has 3, separated by commas; .* must be points"),
        ("id,name,value\n1,x,1\n2,x\n", "line 3: 2 cells where the header has 3"),
        ("id,name,value\n1,x,1\n2,x,inf\n", "line 3, column value: 'inf' is not a number"),
        (
            'id,value,name\n1,1,x\n2,2,"y\n3,3,z\n',
            "line 3: unexpected end of data .is a quotation mark not closed",
        ),
        ('id,value,name\n1,1,"x\n2,2,"y"\n3,3,z\n', "line 2: ',' expected after '\"' .is a quotation mark not closed"),
        ("id,name,value\n1,x,1_0\n", "column value: '1_0' is not a number"),
        ("id,name,value\n1.23e17,x,1\n", "line 2, column id: '1.23e17' is not an integer"),
        ("id,name,value\n\u0661,x,1\n", "column id: '\u0661' is not an integer"),
        ("id,name,value,id\n1,x,1,2\n", "has two columns id; rename the one that is not meant"),
        ("id,name,value\n1,x,1\n".encode("utf-16"), "not a CSV table in UTF-8"),
        (b"id,name,value\n1,gal\xe1xia,1\n", "not a CSV table in UTF-8"),
        (b"id,name,value\n1,gal\xe1xia,1,2\n", "not a CSV table in UTF-8"),
        (b"id,name,value\n1,galaxia,1\n2,\xc3", "not a CSV table in UTF-8"),
        ("\n\n", "is empty"),
    ],
)
def test_what_cannot_be_meant_is_named(table, content, message):
    with pytest.raises(ValueError, match=f"table.csv.*{message}"):
        rows(table(content))


def test_a_missing_column_is_named_beside_those_that_were_found(table):
    path = table("GalaxyID Class1.1\n1 .5\n")
    with pytest.raises(
        ValueError, match="has no column GalaxyID; .* separated by commas, are GalaxyID Class1.1; give that"
    ):
        read_header(path, ["GalaxyID"], "that")
    path = table(";".join(f"c{number}" for number in range(20)))
    with pytest.raises(
        ValueError, match="separated by semicolons, are c0, c1, c2, c3, c4, c5, c6, c7 and 12 more; give that"
    ):
        read_header(path, ["id"], "that")


def test_chunks_keep_the_order_and_the_line_of_every_row(table):
    count = 2 * ROWS_PER_CHUNK + 10
    lines = ["id,name,value", *(f"{number},n{number},{number / 2}" for number in range(count))]
    path = table(gzip.compress("\n".join(lines).encode()), "table.csv.gz")
    assert rows(path) == [(str(number), f"n{number}", number / 2) for number in range(count)]
    lines[count - 3] = "x,n,1"
    with pytest.raises(ValueError, match=f"line {count - 2}, column id: 'x'"):
        rows(table("\n".join(lines)))


def test_a_table_as_text_keeps_every_character(table):
    path = table("file_name,label,id,label\n1.jpg,01,00005,a\n2.jpg,NA,123456789012345678,b\n")
    with pytest.raises(ValueError, match="two columns label"):
        read_text(path, ["label"], "that")
    assert read_text(path, ["id"], "that").drop_columns("label").to_pylist() == [
        {"file_name": "1.jpg", "id": "00005"},
        {"file_name": "2.jpg", "id": "123456789012345678"},
    ]


def test_a_header_without_end_is_refused(table):
    with pytest.raises(ValueError, match="line of more than"):
        read_header(table(b"a" * (MAX_LINE + 2**21)), ["id"], "that")
