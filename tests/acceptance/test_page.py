"""The pages in a real browser, against the real command on a real catalog."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from tests.support.browser import Visit
from tests.support.commands import Catalog
from tests.support.served import command_served
from tests.support.shop import BUNDLE, IMAGES, Shop

PASTE = """async ([name, body]) => {
  const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], "photo.jpg", { type: "image/jpeg" }));
  const init = { bubbles: true, cancelable: true };
  const event = name === "paste"
    ? new ClipboardEvent("paste", { ...init, clipboardData: data })
    : new DragEvent(name, { ...init, dataTransfer: data });
  document.body.dispatchEvent(event);
}"""
SHIFTS = """() => new Promise((resolve) => new PerformanceObserver((list) => resolve(list.getEntries()
  .filter((entry) => !entry.hadRecentInput).reduce((sum, entry) => sum + entry.value, 0)))
  .observe({ type: "layout-shift", buffered: true }) || setTimeout(() => resolve(0), 300))"""


def tiles(page: Page) -> list[str]:
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
    return [tile.get_attribute("data-key") or "" for tile in page.locator(".tile[data-key]").all()]


def open_search(visit: Visit, path: str = "/") -> Page:
    visit.page.goto(path)
    expect(visit.page.locator(".tile[data-key]").first).to_be_visible()
    expect(visit.page.locator("#filters fieldset").first).to_be_visible()
    return visit.page


def search_for(page: Page, photo: Path) -> list[str]:
    page.set_input_files("#file", photo)
    expect(page.locator("#results-heading")).to_have_text("Like your photograph")
    return tiles(page)


def test_a_photograph_finds_itself_and_says_why(visit: Visit, served_shop: Shop) -> None:
    page = open_search(visit)
    assert page.locator("#results-said").inner_text() == f"24 of {IMAGES} images"
    found = search_for(page, served_shop.photo)
    assert found[0].startswith("images/dress/p000000")
    expect(page.locator("#seen .guess").first).to_contain_text("Dress")
    page.locator(".tile-open").first.click()
    details = page.locator("#details")
    expect(details).to_contain_text("Cosine similarity")
    expect(details).to_contain_text("p000000")
    assert "item=" in page.url
    page.keyboard.press("Escape")
    expect(details).to_be_hidden()
    assert "item=" not in page.url


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_photographs_come_in_by_clipboard_and_by_drag(visit: Visit, served_shop: Shop, way: str) -> None:
    import base64

    page = open_search(visit)
    page.evaluate(PASTE, [way, base64.b64encode(served_shop.photo.read_bytes()).decode()])
    expect(page.locator("#results-heading")).to_have_text("Like your photograph")
    assert tiles(page)[0].startswith("images/dress/p000000")


def test_filters_count_combine_and_stand_in_the_address(visit: Visit) -> None:
    page = open_search(visit)
    dress = page.locator("fieldset", has_text="Category").locator("label", has_text=re.compile("^Dress"))
    held = int(dress.locator(".small").inner_text())
    dress.click()
    expect(page.locator(".chip")).to_have_text(["Category: Dress"])
    expect(dress.locator("input")).to_be_checked()
    page.get_by_label("One image per product").uncheck()
    expect(page.locator(".tile[data-key]")).to_have_count(held)
    assert all("/dress/" in key for key in tiles(page))
    hat = page.locator("fieldset", has_text="Category").locator("label", has_text=re.compile("^Hat"))
    expect(hat).to_be_visible()  # other values of a chosen field stay to be chosen
    page.locator("#min-price").fill("1000")
    page.keyboard.press("Tab")
    expect(page.locator("#notice")).to_contain_text("Nothing passes")
    page.reload()
    expect(page.locator("#notice")).to_contain_text("Nothing passes")
    expect(page.locator(".chip")).to_have_text(["Category: Dress", "Price from 1000"])
    page.get_by_role("button", name="Clear all filters").first.click()
    expect(page.locator(".tile[data-key]")).to_have_count(24)
    page.go_back()
    expect(page.locator(".chip")).to_have_count(2)


def test_leaving_a_value_out(visit: Visit) -> None:
    page = open_search(visit)
    page.get_by_role("button", name="Leave out Category Dress").click()
    expect(page.locator(".chip")).to_have_text(["Category: not Dress"])
    assert not any("/dress/" in key for key in tiles(page))


def test_marks_steer_the_query_and_can_be_taken_back(visit: Visit, served_shop: Shop) -> None:
    page = open_search(visit)
    before = search_for(page, served_shop.photo)
    page.locator(f'.tile[data-key="{before[-1]}"] .mark.likes').click()
    expect(page.locator("#examples li")).to_have_count(2)
    page.wait_for_function("first => document.querySelector('.tile[data-key]')?.dataset.key && first", arg=before[0])
    liked = tiles(page)
    assert liked.index(before[-1]) < len(before) - 1
    page.locator(f'.tile[data-key="{before[1]}"] .mark.dislikes').click()
    expect(page.locator("#examples li")).to_have_count(3)
    disliked = tiles(page)
    assert before[1] not in disliked or disliked.index(before[1]) > liked.index(before[1])
    page.get_by_role("button", name=re.compile("^Remove the example")).first.click()
    expect(page.locator("#examples li")).to_have_count(2)
    page.get_by_role("button", name="Clear the examples").click()
    expect(page.locator("#examples")).to_be_hidden()
    expect(page.locator(".tile[data-key]").first).to_have_attribute("data-key", before[0])


def test_more_like_this_and_the_way_back(visit: Visit, served_shop: Shop) -> None:
    page = open_search(visit)
    before = search_for(page, served_shop.photo)
    page.locator(".tile-open").nth(1).click()
    page.get_by_role("button", name="More like this", exact=True).last.click()
    expect(page.locator("#results-heading")).to_have_text("Like the examples")
    assert "like=" in page.url
    assert before[1] not in tiles(page)
    page.go_back()
    page.go_back()
    expect(page.locator("#results-heading")).to_have_text("Like your photograph")
    assert tiles(page) == before


def test_variety_and_groups_change_the_answer(visit: Visit, served_shop: Shop) -> None:
    page = open_search(visit)
    grouped = search_for(page, served_shop.photo)
    products = [re.sub(r"_.*", "", key) for key in grouped]
    assert len(set(products)) == len(products)
    page.get_by_label("One image per product").uncheck()
    expect(page.locator(".tile[data-key]")).to_have_count(24)
    page.get_by_label("Variety").focus()
    page.keyboard.press("End")
    expect(page.locator("#diversity-said")).to_have_text("most varied")
    page.wait_for_url("**/*diversity=1*")
    assert tiles(page)


def test_a_part_is_searched_for_with_the_keys_alone(visit: Visit, served_shop: Shop) -> None:
    page = open_search(visit)
    search_for(page, served_shop.photo)
    page.get_by_role("button", name="Part").press("Enter")
    frame = page.locator(".crop-frame")
    expect(frame).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowRight")
    place = "Part of the photograph: 64% wide, 60% high, 20% from the left, 24% from the top"
    expect(frame).to_have_attribute("aria-label", place)
    page.keyboard.press("Enter")
    expect(page.locator("#results-heading")).to_have_text("Like the selected part")


def test_a_part_is_drawn_with_the_mouse(visit: Visit, served_shop: Shop) -> None:
    page = open_search(visit)
    search_for(page, served_shop.photo)
    box = page.locator(".crop-layer").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] * 0.1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.7)
    page.mouse.up()
    expect(page.locator("#results-heading")).to_have_text("Like the selected part")


def test_the_heat_map_is_asked_for_when_it_is_wanted(visit: Visit, served_shop: Shop) -> None:
    page = open_search(visit)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    search_for(page, served_shop.photo)
    assert not any("classify" in url for url in asked)
    page.get_by_role("button", name="Heat map").click()
    expect(page.locator(".seen-heat")).to_be_visible()


def test_more_hits_come_behind_the_first(visit: Visit) -> None:
    page = open_search(visit)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".tile[data-key]")).to_have_count(IMAGES)
    assert len(set(tiles(page))) == IMAGES
    expect(page.locator("#live")).to_contain_text(f"{IMAGES} images shown")
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()


def test_the_page_is_used_with_the_keyboard(visit: Visit, served_shop: Shop) -> None:
    page = open_search(visit)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the results")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#results")).to_be_focused()
    page.get_by_label("Variety").focus()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.locator(".tile-open").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#details")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".tile-open").first).to_be_focused()

    found = search_for(page, served_shop.photo)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_text("Skip to the results").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#results")).to_be_focused()
    page.wait_for_timeout(300)
    assert (tiles(page), [url for url in asked if "/v1/search" in url]) == (found, [])
    expect(page.locator("#results-heading")).to_have_text("Like your photograph")


def test_a_late_answer_never_covers_a_newer_one(visit: Visit, served_shop: Shop) -> None:
    page = open_search(visit)
    held: list[Route] = []
    page.route("**/v1/search", lambda route: held.append(route), times=1)  # noqa: PLW0108 - playwright marks the handler
    page.set_input_files("#file", served_shop.photo)
    page.wait_for_timeout(100)
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator("#results-heading")).to_have_text("Everything in shop")
    for route in held:
        route.continue_()
    page.wait_for_timeout(300)
    expect(page.locator("#results-heading")).to_have_text("Everything in shop")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (500, "The server made a mistake"),
        (503, "cannot answer just now"),
        (429, "too many requests"),
        (413, "larger than"),
    ],
)
def test_errors_are_sentences_and_are_retried(visit: Visit, served_shop: Shop, status: int, said: str) -> None:
    page = open_search(visit)
    visit.answer("**/v1/search", status, "because of a test", times=1)
    page.set_input_files("#file", served_shop.photo)
    expect(page.get_by_role("alert")).to_contain_text(said)
    expect(page.get_by_role("alert")).to_contain_text("because of a test")
    if status != 413:
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("#results-heading")).to_have_text("Like your photograph")
        assert tiles(page)
    visit.forgive(f"status of {status}")


def test_what_is_no_picture_is_said_to_be_none(visit: Visit, tmp_path: Path) -> None:
    page = open_search(visit)
    (tmp_path / "photo.jpg").write_text("words")
    page.set_input_files("#file", tmp_path / "photo.jpg")
    expect(page.get_by_role("alert")).to_contain_text("no picture")
    visit.forgive("status of 4", "ERR_")


def slowly(route: Route) -> None:
    time.sleep(0.2)
    route.continue_()


def test_a_slow_network_shows_where_things_will_be(visit: Visit) -> None:
    visit.page.route("**/v1/**", slowly)
    visit.page.goto("/")
    expect(visit.page.locator(".tile.skeleton, .tile .skeleton").first).to_be_visible()
    expect(visit.page.locator(".tile[data-key]").first).to_be_visible()
    assert visit.page.evaluate(SHIFTS) < 0.02
    visit.page.unroute_all(behavior="ignoreErrors")


PHONE = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("form", ["desk", "phone"])
def test_nothing_serious_stands_in_anybodys_way(browser: Browser, served_shop: Shop, scheme: str, form: str) -> None:
    options = {"color_scheme": scheme, "reduced_motion": "reduce", **(PHONE if form == "phone" else {})}
    visit = Visit(browser, served_shop.url, **options)
    page = open_search(visit) if form == "desk" else visit.page
    if form == "phone":
        page.goto("/")
        expect(page.locator(".tile[data-key]").first).to_be_visible()
    search_for(page, served_shop.photo)
    page.wait_for_timeout(250)
    check_axe(page)
    page.locator(".tile-open").first.click()
    check_axe(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]
    page.goto("/jobs")
    page.locator(".job-row").last.click()
    expect(page.locator(".reason").first).to_be_visible()
    check_axe(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]
    visit.context.close()
    assert visit.troubles == []


def check_axe(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    bad = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not bad, json.dumps(
        [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in bad], indent=1
    )


def test_an_empty_server_says_how_to_begin_and_lets_in_by_key(browser: Browser, tmp_path: Path) -> None:
    command = Catalog(home=tmp_path / "home", bundle=BUNDLE, environment={})
    key = command.json("keys", "add", "tester", "--scope", "search", "--scope", "ingest")["key"]
    with command_served(command, "--require-key") as (url, _):
        visit = Visit(browser, url)
        page = visit.page
        page.goto("/")
        expect(page.locator("#signin")).to_be_visible()
        page.get_by_label("API key").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("API key is needed")
        page.get_by_role("button", name="Try again").click()
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("#notice")).to_contain_text("catalog ingest")
        page.goto("/jobs")
        expect(page.locator("#list-notice")).to_contain_text("There is no job yet")
        check_axe(page)
        visit.forgive("status of 401")
        visit.context.close()
        assert visit.troubles == []
    command.end_owner()
