from __future__ import annotations

import datetime
import decimal
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.extra_field import ExtraField
from schemas.payload import JsonValue
from workers.adapters.vector_index.validation import check_field
from workers.errors import ContractError
from workers.indexing.manifest import MAX_PROBLEMS, ManifestReading, fields_digest, manifest_key, read_manifest

SOURCE = "s3://shop/images"


def reading(path: Path, *extra_fields: str, source_url: str = SOURCE) -> ManifestReading:
    declared = tuple(map(ExtraField.parse, extra_fields))
    return read_manifest(path, source_url=source_url, extra_fields=declared)


def csv_file(folder: Path, content: str | bytes, name: str = "manifest.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def parquet_file(folder: Path, **columns: Any) -> Path:
    path = folder / "manifest.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def fields_of(path: Path, *extra_fields: str) -> dict[str, dict[str, JsonValue]]:
    manifest = reading(path, *extra_fields)
    rows = {row.key: dict(row.fields) for row in manifest.rows()}
    assert manifest.problems == []
    return rows


def problems_of(path: Path, *extra_fields: str) -> list[tuple[int, str | None, str]]:
    manifest = reading(path, *extra_fields)
    list(manifest.rows())
    assert manifest.problem_count == len(manifest.problems)
    return [(p.line, p.key, p.problem) for p in manifest.problems]


def test_csv_row_becomes_typed_fields_with_a_digest(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path,
        "image,product_id,category,brand,price,currency,colour,in_stock,title,url\n"
        "a/1.jpg,0042,Dresses,Chloé,19.90,EUR,Navy Blue,Yes, A dress ,https://shop.example/1\n"
        "a/2.jpg,,,,,,,,,\n",
    )
    full, bare = reading(path).rows()
    assert full.key == "a/1.jpg"
    assert full.line == 2
    assert full.fields == {
        "product_id": "0042",
        "category": "Dresses",
        "brand": "Chloé",
        "price": 19.9,
        "currency": "EUR",
        "colour": "Navy Blue",
        "in_stock": True,
        "title": "A dress",
        "url": "https://shop.example/1",
    }
    canonical = json.dumps(dict(full.fields), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert full.digest == sha256(canonical.encode()).hexdigest()
    assert (bare.key, bare.fields, bare.digest) == ("a/2.jpg", {}, sha256(b"{}").hexdigest())


def test_digest_does_not_depend_on_the_order_or_spelling_of_columns(tmp_path: Path) -> None:
    one = csv_file(tmp_path, "image,brand,price\na.jpg,Zara,10\n", "one.csv")
    two = csv_file(tmp_path, "PRICE, Brand ,Image\n10.0,Zara,a.jpg\n", "two.csv")
    assert [r.digest for r in reading(one).rows()] == [r.digest for r in reading(two).rows()]
    assert fields_digest({"b": 1, "a": 2}) == fields_digest({"a": 2, "b": 1})


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_delimiters_newlines_and_byte_order_mark(tmp_path: Path, delimiter: str, newline: str, mark: bytes) -> None:
    lines = [("image", "title", "brand"), ("a.jpg", '"one, two; three"', "Ü"), ("b.jpg", "plain", "")]
    content = newline.join(delimiter.join(line) for line in lines)
    path = csv_file(tmp_path, mark + content.encode())
    assert fields_of(path) == {"a.jpg": {"title": "one, two; three", "brand": "Ü"}, "b.jpg": {"title": "plain"}}


def test_quoted_header_behind_semicolons(tmp_path: Path) -> None:
    path = csv_file(tmp_path, '"image";"brand, house";"title"\n"a.jpg";"x";"t"\n')
    assert fields_of(path) == {"a.jpg": {"title": "t"}}
    assert reading(path).unknown_columns == ("brand, house",)


def test_line_is_the_physical_one_behind_quoted_newlines_and_blank_lines(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path, '\n\nimage,title\na.jpg,"one\r\ntwo\n\nthree"\n\n,,\n , \nb.jpg,"say ""hi"""\nc.jpg,x,y\nd.jpg,last'
    )
    manifest = reading(path)
    rows = list(manifest.rows())
    assert [(row.line, row.key) for row in rows] == [(4, "a.jpg"), (11, "b.jpg"), (13, "d.jpg")]
    assert rows[0].fields["title"] == "one\r\ntwo\n\nthree"
    assert rows[1].fields["title"] == 'say "hi"'
    assert [(p.line, p.key) for p in manifest.problems] == [(12, "c.jpg")]


@pytest.mark.parametrize(
    ("row", "key", "problem"),
    [
        (",x,1,true", None, "image is empty; every row names its image"),
        ("../a.jpg,x,1,true", "../a.jpg", "image '../a.jpg' is no key: it has an empty, '.' or '..' part"),
        ("a//b.jpg,x,1,true", "a//b.jpg", "image 'a//b.jpg' is no key: it has an empty, '.' or '..' part"),
        (
            "/data/a.jpg,x,1,true",
            "/data/a.jpg",
            "image is '/data/a.jpg', which is not below the source s3://shop/images",
        ),
        (
            "s3://other/a,x,1,true",
            "s3://other/a",
            "image is 's3://other/a', which is not below the source s3://shop/images",
        ),
        ("a.jpg,x,1", "a.jpg", "the row has 3 fields where the header has 4"),
        ("a.jpg", "a.jpg", "the row has 1 field where the header has 4"),
        ("a.jpg,x,1,true,", "a.jpg", "the row has 5 fields where the header has 4"),
        ('a.jpg,"x" y,1,true', None, "the row is badly quoted (',' expected after '\"'); a quote inside"),
        ("a.jpg,x,-1,true", "a.jpg", "price is '-1', below 0"),
        ("a.jpg,x,NaN,true", "a.jpg", "price is 'NaN', not a finite number; leave the cell empty where it is unknown"),
        ("a.jpg,x,-inf,true", "a.jpg", "price is '-inf', not a finite number"),
        ("a.jpg,x,1e999,true", "a.jpg", "price is '1e999', not a finite number"),
        ("a.jpg,x,cheap,true", "a.jpg", "price is 'cheap', not a plain number such as 19.90"),
        ("a.jpg,x,19.90 EUR,true", "a.jpg", "price is '19.90 EUR', not a plain number"),
        ("a.jpg,x,1_000,true", "a.jpg", "price is '1_000', not a plain number"),
        ("a.jpg,x,١٢,true", "a.jpg", "price is '١٢', not a plain number"),
        ('a.jpg,x,"1,299",true', "a.jpg", "price is '1,299', not a plain number"),
        ("a.jpg,x,1,maybe", "a.jpg", "in_stock is 'maybe'; use true or false, yes or no, 1 or 0"),
        ("a.jpg,x,1,2", "a.jpg", "in_stock is '2'; use true or false"),
        (f"a.jpg,{'x' * 1001},1,true", "a.jpg", "title has 1,001 characters; at most 1,000 are kept"),
        ("a.jpg,x\0y,1,true", "a.jpg", "title holds a NUL byte"),
        ("a\0.jpg,x,1,true", "'a\\x00.jpg'", "image holds a NUL byte"),
        ("a.jpg,x,free,perhaps", "a.jpg", "price is 'free', not a plain number such as 19.90; in_stock is 'perhaps'"),
    ],
)
def test_bad_row_is_left_out_and_reported_and_nothing_else(
    tmp_path: Path, row: str, key: str | None, problem: str
) -> None:
    path = csv_file(tmp_path, f"image,title,price,in_stock\nbefore.jpg,x,1,y\n{row}\nafter.jpg,x,1,n\n")
    manifest = reading(path)
    assert [(r.line, r.key) for r in manifest.rows()] == [(2, "before.jpg"), (4, "after.jpg")]
    assert manifest.problem_count == 1
    (found,) = manifest.problems
    assert (found.line, found.key) == (3, key)
    assert found.problem.startswith(problem)
    assert "\x00" not in found.problem


def test_quote_that_is_never_closed_costs_its_own_row_only(tmp_path: Path) -> None:
    sound = [f'{n}.jpg,"a, b"' if n % 3 else f"{n}.jpg,plain" for n in range(4, 5000)]
    path = csv_file(tmp_path, "\n".join(["image,title", "1.jpg,x", '2.jpg,"12 inch', '3.jpg,"ok"', *sound]))
    manifest = reading(path)
    rows = list(manifest.rows())
    assert [row.key for row in rows] == [f"{n}.jpg" for n in range(1, 5000) if n != 2]
    assert [row.line for row in rows] == [n + 1 for n in range(1, 5000) if n != 2]
    assert [p.line for p in manifest.problems] == [3]


def test_quote_that_is_never_closed_before_lines_without_quotes(tmp_path: Path) -> None:
    sound = [f"{n}.jpg,{'t' * 90}" for n in range(30_000)]
    path = csv_file(tmp_path, "\n".join(["image,title", 'x.jpg,"open', *sound, 'y.jpg,"open']))
    manifest = reading(path)
    assert sum(1 for _ in manifest.rows()) == 30_000
    assert [p.line for p in manifest.problems] == [2, 30_003]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("19.90", 19.9),
        (" 7 ", 7.0),
        ("+5.", 5.0),
        (".5", 0.5),
        ("1e-05", 1e-05),
        ("-0", 0.0),
        ("19,90", 19.9),
        ("19,9", 19.9),
        ("1.299,00", 1299.0),
        ("1,299.00", 1299.0),
        ("1,234,567.89", 1234567.89),
        ("1.299", 1.299),
    ],
)
def test_prices_with_one_reading_only(tmp_path: Path, written: str, value: float) -> None:
    path = csv_file(tmp_path, f'image;price\na.jpg;"{written}"\n')
    (row,) = reading(path).rows()
    assert row.fields == {"price": value}
    assert str(row.fields["price"]) == str(value)


@pytest.mark.parametrize("written", ["true", "TRUE", "1", "yes", "Y"])
def test_in_stock(tmp_path: Path, written: str) -> None:
    assert fields_of(csv_file(tmp_path, f"image,in_stock\na,{written}\n")) == {"a": {"in_stock": True}}


@pytest.mark.parametrize("written", ["false", "False", "0", "no", " n "])
def test_out_of_stock(tmp_path: Path, written: str) -> None:
    assert fields_of(csv_file(tmp_path, f"image,in_stock\na,{written}\n")) == {"a": {"in_stock": False}}


@pytest.mark.parametrize(
    ("written", "source_url", "key"),
    [
        ("a/b.jpg", SOURCE, "a/b.jpg"),
        (" a/b.jpg ", SOURCE, "a/b.jpg"),
        ("./a.jpg", SOURCE, "a.jpg"),
        ("././a.jpg", SOURCE, "a.jpg"),
        ("a\\b.jpg", SOURCE, "a/b.jpg"),
        (".\\a\\b.jpg", SOURCE, "a/b.jpg"),
        ("s3://shop/images/a/b%20c.jpg", SOURCE, "a/b%20c.jpg"),
        ("s3://shop/images/a.jpg", f"{SOURCE}/", "a.jpg"),
        ("file:///data/shop/a%20b.jpg", "file:///data/shop", "a b.jpg"),
        ("/data/shop/a%20b.jpg", "file:///data/shop", "a%20b.jpg"),
        ("/data/my shop/a.jpg", "file:///data/my%20shop", "a.jpg"),
        ("file:///data/my%20shop/a.jpg", "file:///data/my%20shop", "a.jpg"),
        ("/data/shop/x/a.jpg", "/data/shop", "x/a.jpg"),
        ("file:///data/shop/a.jpg", "/data/shop", "a.jpg"),
        ("data/shop/a.jpg", "/data/shop", "data/shop/a.jpg"),
        ("Straße/Ü.JPG", SOURCE, "Straße/Ü.JPG"),
    ],
)
def test_keys_are_made_relative_to_the_source(written: str, source_url: str, key: str) -> None:
    assert manifest_key(written, source_url=source_url) == key


@pytest.mark.parametrize(
    "written", ["/data/shopping/a.jpg", "/data/shop", "file:///data/other/a.jpg", "", " ", "./", "."]
)
def test_keys_outside_the_source_are_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"not below|empty|no key"):
        manifest_key(written, source_url="file:///data/shop")


def test_declared_columns_are_kept_and_others_reported_once(tmp_path: Path) -> None:
    path = csv_file(tmp_path, ",image,Season,size,notes,brand\n0,a.jpg,SS27,0038,why,Zara\n1,b.jpg,,XL,,\n")
    manifest = reading(path, "season", "size", "fabric")
    assert manifest.unknown_columns == ("(column 1, unnamed)", "notes")
    assert manifest.missing_extra_fields == ("fabric",)
    assert [dict(row.fields) for row in manifest.rows()] == [
        {"season": "SS27", "size": "0038", "brand": "Zara"},
        {"size": "XL"},
    ]
    assert manifest.problems == []


def test_long_text_in_a_column_that_is_not_kept_harms_nothing(tmp_path: Path) -> None:
    path = csv_file(tmp_path, f"image,description\na.jpg,{'long ' * 5000}\n")
    assert fields_of(path) == {"a.jpg": {}}


@pytest.mark.parametrize("name", ["version", "Key", "image", "category_predicted", "extra"])
def test_a_declared_column_cannot_overwrite_what_the_index_writes(tmp_path: Path, name: str) -> None:
    with pytest.raises(ContractError, match=f"{name}.*the index uses that name"):
        reading(csv_file(tmp_path, f"image,{name}2\na,b\n"), name)


@pytest.mark.parametrize("name", ["Care instructions", "size.eu", "", " season", "x" * 65, "tags[]"])
def test_a_declared_column_has_a_name_that_the_index_takes(tmp_path: Path, name: str) -> None:
    with pytest.raises(ContractError):
        check_field(name)
    with pytest.raises(ContractError, match="64 letters, digits, hyphens and underscores; rename the column"):
        reading(csv_file(tmp_path, f"image,{name}\na,b\n"), name)


def test_names_that_the_index_takes_are_kept(tmp_path: Path) -> None:
    names = ("care-instructions", "Größe_1", "x" * 64)
    for name in names:
        check_field(name)
    assert fields_of(csv_file(tmp_path, f"image,{','.join(names)}\na,b,c,d\n"), *names) == {
        "a": dict(zip(names, "bcd", strict=True))
    }


def test_integers_beyond_what_the_index_holds_cost_their_row(tmp_path: Path) -> None:
    stock = pa.array([2**63 - 1, 2**63, 2**64 - 1], type=pa.uint64())
    path = parquet_file(tmp_path, image=["a", "b", "c"], stock=stock)
    manifest = reading(path, "stock")
    assert [(row.key, dict(row.fields)) for row in manifest.rows()] == [("a", {"stock": 2**63 - 1})]
    assert [p.line for p in manifest.problems] == [2, 3]
    assert manifest.problems[0].problem.startswith("stock is 9223372036854775808, an integer beyond 64 bits")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", b"", "is empty"),
        ("m.csv", b"\xef\xbb\xbf", "is empty"),
        ("m.csv", b"\n \n\r\n", "is empty"),
        (
            "m.csv",
            b"picture,brand\na,b\n",
            "no 'image' column.*its columns: 'picture', 'brand'; rename 'picture' to 'image'",
        ),
        ("m.csv", b"Image_Path;brand\na;b\n", "rename 'Image_Path' to 'image'"),
        ("m.csv", b"imgae,brand\na,b\n", "rename 'imgae' to 'image'"),
        ("m.csv", b"sku,brand\na,b\n", "its columns: 'sku', 'brand'$"),
        (
            "m.csv",
            b"image,Brand, brand\na,b,c\n",
            r"two columns of one name, 'Brand' \(column 2\) and 'brand' \(column 3\)",
        ),
        ("m.csv", b"image,image\na,b\n", "two columns of one name"),
        ("m.csv", b"image,titl\xe9\na,b\n", r"line 1 is not UTF-8 \(byte 0xE9\); save the manifest as UTF-8"),
        ("m.csv", "image,título\na,b\n".encode("utf-16"), "is UTF-16 text"),
        ("m.csv", "image,brand\na,b\n".encode("utf-16-le"), "holds NUL bytes"),
        ("m.csv", b'"image,brand\na,b\n', "header line is badly quoted"),
        ("m.csv", b"x" * 1_100_000, "over a million characters"),
        ("m.xlsx", b"PK", "neither CSV .* nor Parquet"),
        ("m", b"image\na\n", "neither CSV .* nor Parquet"),
        ("m.parquet", b"", "is empty"),
        ("m.parquet", b"image,brand\na,b\n", "is no sound Parquet file"),
    ],
)
def test_an_unusable_file_is_refused_with_a_clear_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = csv_file(tmp_path, content, name)
    with pytest.raises(ContractError, match=message) as refused:
        reading(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_places_that_hold_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ContractError, match="there is no manifest at"):
        reading(tmp_path / "none.csv")
    with pytest.raises(ContractError, match="there is no manifest at"):
        reading(tmp_path / "none.parquet")
    with pytest.raises(ContractError, match="is a folder"):
        reading(tmp_path / "folder.csv")
    (tmp_path / "file.csv").write_text("image\n")
    with pytest.raises(ContractError, match="cannot be read: Not a directory"):
        reading(tmp_path / "file.csv" / "below.csv")


def test_bytes_that_are_not_utf8_end_the_pass_with_their_line(tmp_path: Path) -> None:
    path = csv_file(tmp_path, b'image,title\na.jpg,"x\ny"\nb.jpg,caf\xe9\n')
    rows = reading(path).rows()
    assert next(rows).key == "a.jpg"
    with pytest.raises(ContractError, match=r"line 4 is not UTF-8 \(byte 0xE9\)"):
        next(rows)


def test_a_header_alone_is_a_manifest_without_rows(tmp_path: Path) -> None:
    assert fields_of(csv_file(tmp_path, "image,brand\n")) == {}


def test_every_pass_begins_anew(tmp_path: Path) -> None:
    manifest = reading(csv_file(tmp_path, "image\na.jpg\n../b.jpg\n"))
    assert list(manifest.rows()) == list(manifest.rows())
    assert manifest.problem_count == len(manifest.problems) == 1


def test_the_same_key_twice_is_left_to_who_stores_the_rows(tmp_path: Path) -> None:
    manifest = reading(csv_file(tmp_path, "image\na.jpg\n./a.jpg\n"))
    assert [row.key for row in manifest.rows()] == ["a.jpg", "a.jpg"]


def test_problems_kept_are_bounded_and_all_are_counted(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "image,price\n" + "a.jpg,free\n" * (MAX_PROBLEMS + 5))
    manifest = reading(path)
    assert list(manifest.rows()) == []
    assert manifest.problem_count == MAX_PROBLEMS + 5
    assert len(manifest.problems) == MAX_PROBLEMS


def test_parquet_types(tmp_path: Path) -> None:
    path = parquet_file(
        tmp_path,
        image=pa.array(["a.jpg", "b.jpg", "./c.jpg"]).dictionary_encode(),
        product_id=pa.array([1001.0, None, 1003.0]),
        brand=pa.array(["Zara", None, "  "]).dictionary_encode(),
        price=pa.array([20, None, 0], pa.int32()),
        in_stock=pa.array([True, False, None]),
        title=pa.array([b"t", None, "ü".encode()], pa.binary()),
        url=pa.array([None, None, None], pa.null()),
        colour=pa.array(["red", "", None], pa.large_string()),
    )
    assert fields_of(path) == {
        "a.jpg": {
            "product_id": "1001",
            "brand": "Zara",
            "price": 20.0,
            "in_stock": True,
            "title": "t",
            "colour": "red",
        },
        "b.jpg": {"in_stock": False},
        "c.jpg": {"product_id": "1003", "price": 0.0, "title": "ü"},
    }
    prices = [row.fields.get("price") for row in reading(path).rows()]
    assert [type(price) for price in prices] == [float, type(None), float]


def test_parquet_decimals_text_prices_and_numeric_flags(tmp_path: Path) -> None:
    path = parquet_file(
        tmp_path,
        image=["a", "b", "c"],
        price=pa.array([decimal.Decimal("19.90"), None, decimal.Decimal("1.00")], pa.decimal128(9, 2)),
        in_stock=pa.array([1, 0, None], pa.int8()),
        product_id=pa.array([7, 8, 9], pa.int64()),
    )
    assert fields_of(path) == {
        "a": {"price": 19.9, "in_stock": True, "product_id": "7"},
        "b": {"in_stock": False, "product_id": "8"},
        "c": {"price": 1.0, "product_id": "9"},
    }
    textual = parquet_file(tmp_path, image=["a"], price=["1.299,00"], in_stock=["No"])
    assert fields_of(textual) == {"a": {"price": 1299.0, "in_stock": False}}


def test_parquet_rows_give_the_digests_of_the_same_csv_rows(tmp_path: Path) -> None:
    parquet = parquet_file(tmp_path, price=[20], brand=["Zara"], image=["a"], in_stock=[True])
    text = csv_file(tmp_path, "image,brand,price,in_stock\na,Zara,20,yes\n")
    assert [row.digest for row in reading(parquet).rows()] == [row.digest for row in reading(text).rows()]


def test_declared_kinds_are_read_as_such_from_either_format(tmp_path: Path) -> None:
    declared = ("weight:number", "change:number", "vegan:flag", "size")
    text = csv_file(tmp_path, 'image,weight,change,vegan,size\na,"1.299,50",-5,yes,38\nb,,,,\nc,heavy,1,maybe,XL\n')
    expected = {"a": {"weight": 1299.5, "change": -5.0, "vegan": True, "size": "38"}, "b": {}}
    manifest = reading(text, *declared)
    assert {row.key: row.fields for row in manifest.rows()} == expected
    assert [(problem.key, problem.problem) for problem in manifest.problems] == [
        (
            "c",
            "weight is 'heavy', not a plain number such as 19.90; vegan is 'maybe'; use true or false, yes or no, 1 or 0",
        )
    ]
    parquet = parquet_file(
        tmp_path,
        image=["a", "b"],
        weight=pa.array([1299.5, None]),
        change=pa.array([-5, None]),
        vegan=pa.array([True, None]),
        size=["38", None],
    )
    assert fields_of(parquet, *declared) == expected
    assert [row.digest for row in reading(parquet, *declared).rows()] == [row.digest for row in manifest.rows()]


@pytest.mark.parametrize("written", ["weight:kg", "weight:", "a:b:date"])
def test_a_kind_that_there_is_not_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="there are text, number, flag"):
        ExtraField.parse(written)


def test_parquet_extra_fields_keep_their_types(tmp_path: Path) -> None:
    path = parquet_file(
        tmp_path,
        image=["a", "b"],
        year=pa.array([2027, None], pa.int16()),
        weight=pa.array([0.5, None]),
        vegan=pa.array([True, None]),
        season=["SS27", None],
        launched=pa.array([datetime.date(2027, 3, 1), None]),
        tags=pa.array([["linen", " slim "], []]),
        margin=pa.array([1, 2]),
    )
    declared = ("year", "weight", "vegan", "season", "launched", "tags")
    assert reading(path, *declared).unknown_columns == ("margin",)
    assert fields_of(path, *declared) == {
        "a": {
            "year": 2027,
            "weight": 0.5,
            "vegan": True,
            "season": "SS27",
            "launched": "2027-03-01",
            "tags": ["linen", "slim"],
        },
        "b": {},
    }


def test_parquet_bad_rows_are_reported_by_their_number(tmp_path: Path) -> None:
    broken = pa.StringArray.from_buffers(
        7, pa.array([0, 1, 3, 4, 5, 6, 7, 8], pa.int32()).buffers()[1], pa.py_buffer(b"x\xff\xfexxxxx")
    )
    path = parquet_file(
        tmp_path,
        image=["a", "b", None, "d", "e", "f", "g"],
        title=broken,
        price=pa.array([1.0, 1.0, 1.0, -2.0, float("nan"), float("inf"), None]),
        size=pa.array([None, None, None, None, None, None, {"x": 1}]),
    )
    assert problems_of(path, "size") == [
        (2, "b", "title cannot be read: broken text, or a date out of range"),
        (3, None, "image is empty; every row names its image"),
        (4, "d", "price is -2.0, below 0"),
        (5, "e", "price is nan, not a finite number; leave the cell empty where it is unknown"),
        (6, "f", "price is inf, not a finite number; leave the cell empty where it is unknown"),
        (7, "g", "size is a dict, which no payload field can hold"),
    ]
    assert [row.key for row in reading(path, "size").rows()] == ["a"]


def test_parquet_without_an_image_column_or_with_one_twice(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"no 'image' column.*'sku'"):
        reading(parquet_file(tmp_path, sku=["a"]))
    path = tmp_path / "twice.parquet"
    pq.write_table(pa.table([pa.array(["a"]), pa.array(["b"])], names=["image", "image"]), path)
    with pytest.raises(ContractError, match="two columns of one name"):
        reading(path)


def test_damaged_parquet_never_passes_for_a_whole_one(tmp_path: Path) -> None:
    keys = [f"{n}.jpg" for n in range(20_000)]
    path = parquet_file(tmp_path, image=keys, brand=["x"] * len(keys))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ContractError, match="no sound Parquet"):
        list(reading(path).rows())
    path.write_bytes(whole[:4] + bytes(2000) + whole[2004:])
    with pytest.raises(ContractError, match="no sound Parquet"):
        list(reading(path).rows())


def test_two_hundred_thousand_rows_in_constant_memory(tmp_path: Path) -> None:
    rows = 200_000
    text = tmp_path / "large.csv"
    with text.open("w") as file:
        file.write("image,product_id,brand,price,in_stock,title\n")
        file.writelines(
            f"women/{n:07}.jpg,p{n // 3},Brand {n % 50},{n % 100}.50,{n % 2},Title {n}\n" for n in range(rows)
        )
    parquet = tmp_path / "large.parquet"
    pq.write_table(
        pa.table(
            {
                "image": [f"women/{n:07}.jpg" for n in range(rows)],
                "brand": pa.array([f"Brand {n % 50}" for n in range(rows)]).dictionary_encode(),
                "title": [f"Title {n}" for n in range(rows)],
            }
        ),
        parquet,
    )
    process = psutil.Process()
    for path in (text, parquet):
        manifest = reading(path)
        before_bytes = process.memory_info().rss
        rss_bytes = [process.memory_info().rss for count, _ in enumerate(manifest.rows(), 1) if count % 20_000 == 0]
        assert len(rss_bytes) == 10
        assert manifest.problem_count == 0
        assert max(rss_bytes) - before_bytes < 40 * 1024 * 1024, path  # all rows held would be 150 MB


_SCRAPS = st.sampled_from(
    [
        b"image",
        b",",
        b";",
        b"\t",
        b'"',
        b"\n",
        b"\r",
        b"\r\n",
        b"\0",
        b"a.jpg",
        b"price",
        b"\xff",
        b"\xef\xbb\xbf",
        b"1",
        b" ",
    ]
)


@given(content=st.one_of(st.binary(max_size=300), st.lists(_SCRAPS, max_size=60).map(b"".join)))
@example(content=b'image\n"')
@example(content=b"image\n\x00")
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_raise_anything_but_a_contract_error(tmp_path: Path, content: bytes) -> None:
    for scrap in (content, b"image,price\n" + content):
        path = csv_file(tmp_path, scrap)
        try:
            manifest = reading(path, "price")
            seen = [row.line for row in manifest.rows()] + [problem.line for problem in manifest.problems]
        except ContractError:
            continue
        assert len(seen) == len(set(seen))
        assert all(1 <= line <= scrap.count(b"\n") + scrap.count(b"\r") + 1 for line in seen)


@given(
    cells=st.lists(
        st.lists(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
            min_size=2,
            max_size=2,
        ),
        max_size=8,
    )
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_a_csv_writer_wrote_is_read_back(tmp_path: Path, cells: list[list[str]]) -> None:
    import csv

    path = tmp_path / "written.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "title", "brand"])
        writer.writerows([f"{n}.jpg", *row] for n, row in enumerate(cells))
    expected = {
        f"{n}.jpg": {name: cell.strip() for name, cell in zip(("title", "brand"), row, strict=True) if cell.strip()}
        for n, row in enumerate(cells)
    }
    assert fields_of(path) == expected
