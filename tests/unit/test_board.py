from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from workers.board import Board, Row, Tile, render_html, render_png, save
from workers.board.captions import elide, facts, legible
from workers.board.layout import FRAME, MAX_COLUMNS, PICTURE_HEIGHT, PICTURE_WIDTH, STRIP_HEIGHT, lay_out
from workers.board.lettering import Style, visual_order, width_px, write
from workers.board.picture import fitted
from workers.board.png import GREEN
from workers.errors import ContractError

RED, BLUE = (200, 30, 40), (30, 60, 200)


def plain(colour: tuple[int, int, int] = RED, *, width: int = 90, height: int = 120) -> NDArray[np.uint8]:
    return np.full((height, width, 3), colour, dtype=np.uint8)


def tile(title: str = "dresses/1.jpg", /, **changes: Any) -> Tile:
    values: dict[str, Any] = {
        "image": plain(),
        "title": title,
        "category": "dress",
        "confidence": 0.94,
        "score": 0.8746,
        "same_product": False,
    }
    return Tile(**(values | changes))


def query(**changes: Any) -> Tile:
    return tile("query.jpg", **({"score": None} | changes))


def board(*rows: Row, heading: str = "Nearest", subheading: str = "summer-2027") -> Board:
    return Board(heading=heading, subheading=subheading, rows=rows)


def pixels_of(png: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        assert image.mode == "RGB"
        return np.asarray(image)


class Page(HTMLParser):
    """Tags and visible text of a page, as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_png_has_a_grid_with_the_query_left_and_the_neighbours_in_order() -> None:
    shown = board(
        Row(query=query(), hits=tuple(tile(f"{n}.jpg", image=plain(BLUE)) for n in range(8))),
        Row(query=query(), hits=(tile(lines=("Zara", "19.90 EUR")),)),
    )
    sheet = lay_out(shown)
    canvas = pixels_of(render_png(shown))
    assert canvas.shape == (sheet.height, sheet.width, 3)
    first, second = sheet.placed[:9], sheet.placed[9:]
    assert [p.label for p in first] == ["Query", *"12345678"]
    assert [p.label for p in second] == ["Query", "1"]
    assert [p.tile.title for p in first] == ["query.jpg", *(f"{n}.jpg" for n in range(8))]
    assert len({p.y for p in first[: MAX_COLUMNS + 1]}) == 1
    assert first[MAX_COLUMNS + 1].x == first[1].x == second[1].x
    assert first[MAX_COLUMNS + 1].y > first[1].caption_y
    assert len({b.x - a.x for a, b in pairwise(first[1:7])}) == 1
    assert first[0].x + PICTURE_WIDTH < sheet.dividers[0].x < first[1].x
    assert sheet.dividers[0].bottom < second[0].y
    for placed in sheet.placed:
        middle = canvas[placed.picture_y + PICTURE_HEIGHT // 2, placed.x + PICTURE_WIDTH // 2]
        assert tuple(middle) == (BLUE if placed in first[1:] else RED)
        assert placed.x - FRAME >= 0
        assert placed.x + PICTURE_WIDTH + FRAME <= sheet.width
        assert placed.caption_y < sheet.height


def test_png_frames_the_same_product_green_with_a_mark_and_nothing_else() -> None:
    hits = (tile(), tile(same_product=True), tile())
    shown = board(Row(query=query(), hits=hits))
    canvas = pixels_of(render_png(shown))
    unmarked = pixels_of(render_png(board(Row(query=query(), hits=(tile(), tile(), tile())))))
    for placed in lay_out(shown).placed:
        top, left = placed.y - FRAME, placed.x - FRAME
        bottom = placed.picture_y + PICTURE_HEIGHT + FRAME
        right = placed.x + PICTURE_WIDTH + FRAME
        edges = [
            canvas[top:bottom, left : left + FRAME],
            canvas[top:bottom, right - FRAME : right],
            canvas[top : top + FRAME, left:right],
            canvas[bottom - FRAME : bottom, left:right],
        ]
        assert all((edge == GREEN).all() for edge in edges) == placed.tile.same_product
        assert any((edge == GREEN).all() for edge in edges) == placed.tile.same_product
        if placed.tile.same_product:
            strip = canvas[placed.y : placed.y + STRIP_HEIGHT, placed.x + PICTURE_WIDTH // 3 : placed.x + PICTURE_WIDTH]
            assert 300 < (strip == 255).all(axis=2).sum() < strip.shape[0] * strip.shape[1] // 2  # tick and words
            canvas = canvas.copy()
            canvas[top:bottom, left:right] = unmarked[top:bottom, left:right]
    assert np.array_equal(canvas, unmarked)


@pytest.mark.parametrize(("width", "height"), [(300, 100), (40, 400), (4000, 3), (3, 4000), (1, 1), (264, 352)])
def test_pictures_keep_their_proportions(width: int, height: int) -> None:
    picture = fitted(tile(image=plain(width=width, height=height)), width=264, height=352, enlarge=True)
    assert picture is not None
    rows, columns = picture.shape[:2]
    assert columns == 264 or rows == 352
    assert max(columns / 264, rows / 352) == 1
    assert rows == max(1, round(height * columns / width)) or columns == max(1, round(width * rows / height))


def test_letterboxed_picture_leaves_bars_of_ground() -> None:
    shown = board(Row(query=query(image=plain(width=200, height=100)), hits=()))
    canvas = pixels_of(render_png(shown))
    (placed,) = lay_out(shown).placed
    place = canvas[placed.picture_y : placed.picture_y + PICTURE_HEIGHT, placed.x : placed.x + PICTURE_WIDTH]
    red = (place == RED).all(axis=2)
    assert red.sum() == PICTURE_WIDTH * (PICTURE_WIDTH // 2)
    assert red[:, 0].nonzero()[0].mean() == pytest.approx((PICTURE_HEIGHT - 1) / 2, abs=1)


def test_a_page_shrinks_pictures_but_never_enlarges_them() -> None:
    small = fitted(tile(image=plain(width=30, height=20)), width=480, height=640, enlarge=False)
    large = fitted(tile(image=plain(width=3000, height=2000)), width=480, height=640, enlarge=False)
    assert small is not None
    assert small.shape == (20, 30, 3)
    assert large is not None
    assert large.shape == (320, 480, 3)


def test_box_is_drawn_where_it_is_and_cut_at_the_edge() -> None:
    image = plain((0, 0, 0), width=200, height=200)
    image.setflags(write=False)
    drawn = fitted(tile(image=image, box=(0.25, 0.5, 2.0, 0.75)), width=200, height=200, enlarge=True)
    assert drawn is not None
    assert tuple(drawn[100, 120]) == (255, 122, 0)
    assert tuple(drawn[125, 50]) == (255, 122, 0)
    assert not drawn[125, 120].any()
    assert not drawn[:90].any()
    assert not image.any()


def test_a_picture_that_could_not_be_read_has_its_place_and_says_so() -> None:
    shown = board(Row(query=query(image=None), hits=(tile(image=None, same_product=True),)))
    canvas = pixels_of(render_png(shown))
    for placed in lay_out(shown).placed:
        middle = placed.picture_y + PICTURE_HEIGHT // 2
        assert (canvas[middle - 14 : middle + 14, placed.x : placed.x + PICTURE_WIDTH] < 150).any()
    page = Page(render_html(shown))
    assert page.texts.count("picture could not be read") == 2
    assert page.all("img") == []
    labels = [p["aria-label"] for p in page.all("p") if p.get("role") == "img"]
    assert labels == [
        "Query: query.jpg, dress, picture could not be read",
        "Neighbour 1: dresses/1.jpg, dress, same product, picture could not be read",
    ]


def test_no_neighbours_and_no_queries_are_said() -> None:
    lonely = board(Row(query=query(), hits=()))
    sheet = lay_out(lonely)
    hits_x = sheet.dividers[0].x + 10
    assert (pixels_of(render_png(lonely))[sheet.placed[0].y :, hits_x:] < 150).any()
    assert "no neighbours" in Page(render_html(lonely)).texts
    assert "no neighbours" not in Page(render_html(board(Row(query=query(), hits=(tile(),))))).texts
    assert pixels_of(render_png(board())).min() < 100
    assert "no queries" in Page(render_html(board())).texts


def test_html_has_one_figure_a_tile_with_its_facts_in_order() -> None:
    hits = (tile("a.jpg", same_product=True, lines=("Zara", "19.90 EUR")), tile("b.jpg", category=None, score=-0.0321))
    page = Page(render_html(board(Row(query=query(confidence=None), hits=hits), Row(query=query(), hits=()))))
    assert [figure["class"] for figure in page.all("figure")] == [
        "tile query",
        "tile hit same",
        "tile hit",
        "tile query",
    ]
    texts = page.texts[page.texts.index("Query") :]
    assert texts[:14] == [
        *("Query", "query.jpg", "dress"),
        *("1", "✓︎ same product", "a.jpg", "dress, 94% sure", "similarity 0.875", "Zara", "19.90 EUR"),
        *("2", "b.jpg", "category unknown", "similarity -0.032"),
    ]
    assert [image["alt"] for image in page.all("img")] == [
        "Query: query.jpg, dress",
        "Neighbour 1: a.jpg, dress, same product",
        "Neighbour 2: b.jpg",
        "Query: query.jpg, dress",
    ]


def test_html_pictures_are_jpegs_inside_the_page() -> None:
    page = Page(render_html(board(Row(query=query(image=plain(width=1200, height=1600)), hits=(tile(),)))))
    sizes = []
    for image in page.all("img"):
        kind, _, data = (image["src"] or "").partition(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as opened:
            sizes.append(opened.size)
            assert np.abs(np.asarray(opened).astype(int) - RED).max() <= 4
    assert sizes == [(480, 640), (90, 120)]


def test_html_escapes_hostile_text_everywhere_and_loads_nothing() -> None:
    hostile = "<script>alert(1)</script>\"'><img src=http://evil.example/x onerror=alert(1)>{{ 7*7 }}"
    bad = tile(hostile, category=hostile, lines=(hostile,))
    html = render_html(
        board(Row(query=bad, hits=(bad, tile(hostile, image=None))), heading=hostile, subheading=hostile)
    )
    page = Page(html)
    assert page.all("script") == []
    assert not any(attribute.startswith("on") for _, attributes in page.tags for attribute in attributes)
    assert len(page.all("img")) == 2
    sources = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href")]
    assert all(source is not None and source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.search(r"url\(|@import", html)
    assert "{{ 7*7 }}" in html
    policy = page.all("meta")[-1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert "default-src 'none'" in (policy["content"] or "")


def test_html_takes_text_that_cannot_be_encoded() -> None:
    html = render_html(board(Row(query=query(title="\ud800 a\x00b\u202egnp.exe\n"), hits=())))
    assert "\ufffd a bgnp.exe" in Page(html).texts
    html.encode()


def test_html_leaves_out_the_middle_of_long_titles_but_keeps_them_as_tooltip() -> None:
    title = "women/" + "x" * 150 + "/front.jpg"
    page = Page(render_html(board(Row(query=query(title=title), hits=()))))
    (shown,) = [text for text in page.texts if text.startswith("women/")]
    assert len(shown) == 72
    assert shown.endswith("/front.jpg")
    assert page.all("strong")[0]["title"] == title


@given(text=st.text(max_size=60), room=st.integers(0, 70))
def test_elision_keeps_as_much_of_both_ends_as_fits(text: str, room: int) -> None:
    short = elide(text, lambda part: len(part) <= room)
    if len(text) <= room:
        assert short == text
        return
    assert len(short) == max(room, 1)
    head, _, tail = short.partition("…") if "…" not in text else (short[: len(short) // 2], "", "")
    assert text.startswith(head)
    assert text.endswith(tail)


def test_elided_line_fits_its_room_on_the_picture() -> None:
    style = Style(size_px=17)
    line = elide("women/dresses/summer/" * 10 + "front.jpg", lambda part: width_px(part, style) <= 264)
    assert 240 < width_px(line, style) <= 264
    assert line.startswith("women/")
    assert line.endswith("ont.jpg")


@given(text=st.text(st.characters(exclude_categories=[]), max_size=80))
@example(text="\ud800\udc00")
@example(text="日本語 Привет العربية 👗 e\u0301\u0300\u200d\u202e")
@example(text="x" * 100_000)
@settings(max_examples=300, deadline=None)
def test_any_text_can_be_written_and_stays_in_its_room(text: str) -> None:
    canvas = np.full((60, 400, 3), 255, dtype=np.uint8)
    write(canvas, text, x=20, y=10, max_width=300, style=Style(size_px=18))
    assert (canvas[:, 330:] == 255).all()
    assert legible(legible(text)) == legible(text)


def test_letters_beyond_ascii_are_drawn_as_themselves() -> None:
    def drawn(text: str) -> bytes:
        canvas = np.full((40, 60, 3), 255, dtype=np.uint8)
        write(canvas, text, x=5, y=5, max_width=50, style=Style(size_px=20))
        return canvas.tobytes()

    letters = "?eéüłßçñАяα語服שع€–×"
    assert len({drawn(letter) for letter in letters}) == len(letters)


def test_right_to_left_words_begin_at_the_right() -> None:
    assert visual_order("Zara שלום עולם 12") == "Zara םלוע םולש 12"
    assert visual_order("plain 日本") == "plain 日本"


def test_facts() -> None:
    assert facts(tile(lines=("a\nb",))) == ("dress, 94% sure", "similarity 0.875", "a b")
    assert facts(query(confidence=None)) == ("dress",)
    assert facts(query(category=None)) == ("category unknown",)


@pytest.mark.parametrize(
    "changes",
    [
        {"image": np.zeros((4, 4), np.uint8)},
        {"image": np.zeros((4, 4, 4), np.uint8)},
        {"image": np.zeros((4, 4, 3), np.float32)},
        {"image": np.zeros((0, 4, 3), np.uint8)},
        {"box": (0.1, 0.2, 0.3)},
        {"box": (0.1, 0.2, 0.3, float("nan"))},
    ],
)
def test_a_tile_refuses_what_cannot_be_drawn(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="a tile's"):
        tile(**changes)


def test_a_board_too_large_for_a_picture_is_refused_before_memory_is_spent() -> None:
    many = board(*[Row(query=query(), hits=(tile(),) * 6)] * 100)
    with pytest.raises(ContractError, match=r"700 tiles would have 1\d\d million pixels.*as \.html"):
        render_png(many)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("board.png", ["board.png"]),
        ("Board.PNG", ["Board.PNG"]),
        ("board.html", ["board.html"]),
        ("board.htm", ["board.htm"]),
        ("board", ["board.png", "board.html"]),
        ("shirts.2027", ["shirts.2027.png", "shirts.2027.html"]),
    ],
)
def test_save_writes_the_form_that_the_name_asks_for(tmp_path: Path, name: str, written: list[str]) -> None:
    shown = board(Row(query=query(), hits=(tile(),)))
    for _ in range(2):
        assert save(shown, tmp_path / name) == tuple(tmp_path / each for each in written)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(written)
    for each in written:
        content = (tmp_path / each).read_bytes()
        assert content == (render_png(shown) if each.lower().endswith("png") else render_html(shown).encode())


def test_save_refuses_a_place_that_cannot_be_written_and_leaves_nothing(tmp_path: Path) -> None:
    shown = board(Row(query=query(), hits=()))
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ContractError, match=r"there is no folder .*none; make it first"):
        save(shown, tmp_path / "none" / "board.png")
    with pytest.raises(ContractError, match=r"there is no folder .*file"):
        save(shown, tmp_path / "file" / "board.html")
    with pytest.raises(ContractError, match=r"written to .*folder\.png: it is a folder"):
        save(shown, tmp_path / "folder.png")
    with pytest.raises(ContractError, match=r"written to .*folder\.png: it is a folder"):
        save(shown, tmp_path / "folder")
    with pytest.raises(ContractError, match="it is a folder"):
        save(shown, tmp_path)
    with pytest.raises(ContractError, match="File name too long"):
        save(shown, tmp_path / f"{'x' * 300}.html")
    with pytest.raises(ContractError, match="it is a folder; name a file"):
        save(shown, Path())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]
