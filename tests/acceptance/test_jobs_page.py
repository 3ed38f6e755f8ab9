"""The page of jobs in a real browser, against the real command at work."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, Route, expect

from tests.support.browser import Visit
from tests.support.shop import Shop

MANY = 4_000
"""Images that no machine takes in before somebody has pressed a button."""
GUARDED = 60
"""More vanished images than are deleted without asking."""


def start_sync(page: Page, name: str, source: Path) -> None:
    """Of a new catalog."""
    page.goto("/jobs")
    page.get_by_role("button", name="Start a sync").click()
    page.locator("#starter-catalog").select_option("")
    page.locator("#starter-name").fill(name)
    page.locator("#starter-source").fill(str(source))
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#job-heading")).to_have_text(f"Sync of {name}")


def test_jobs_live_failures_by_reason_and_replay(visit: Visit) -> None:
    page = visit.page
    page.goto("/jobs")
    expect(page.locator(".job-row").last).to_contain_text("Sync of shop")
    page.locator(".job-row").last.click()
    expect(page.locator(".reason")).to_have_count(2)
    expect(page.locator("#left")).to_contain_text("The file has no bytes; upload it again.")
    expect(page.locator("table")).to_contain_text("bottleneck")
    page.get_by_role("button", name="Try again: Empty").click()
    expect(page.locator("#job-heading")).to_have_text("Retry of shop")
    expect(page.locator(".progress .tag")).to_have_text("done")
    expect(page.locator(".reason")).to_have_count(1)
    page.get_by_role("button", name="Start a sync").click()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#job-heading")).to_have_text("Sync of shop")
    expect(page.locator(".progress .tag")).to_have_text("done")
    page.go_back()
    expect(page.locator("#job-heading")).to_have_text("Retry of shop")


def test_a_new_catalog_is_started_and_asked_about(visit: Visit, served_shop: Shop) -> None:
    page = visit.page
    start_sync(page, "second", served_shop.folder / "images/dress")
    expect(page.locator(".progress .tag")).to_have_text("done")
    page.goto("/?catalog=second")
    expect(page.locator(".tile[data-key]").first).to_be_visible()


def test_a_job_is_paused_goes_on_and_is_stopped(visit: Visit, served_shop: Shop, tmp_path: Path) -> None:
    served_shop.command.json("sample", tmp_path / "many", "--images", str(MANY))
    page = visit.page
    start_sync(page, "many", tmp_path / "many/images")
    state = page.locator(".progress .tag")
    page.get_by_role("button", name="Pause").click()
    expect(state).to_have_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(state).to_have_text("running")
    page.get_by_role("button", name="Stop", exact=True).click()
    asked = page.get_by_role("dialog", name="Stop this job?")
    expect(asked.get_by_role("button", name="Not now")).to_be_focused()
    page.keyboard.press("Escape")
    expect(asked).to_be_hidden()
    expect(state).to_have_text("running")
    page.get_by_role("button", name="Stop", exact=True).click()
    asked.get_by_role("button", name="Stop the job").click()
    expect(state).to_have_text("cancelled")
    job = served_shop.command.json("status", "--name", "many")
    assert job["state"] == "cancelled"
    assert job["finished"] < MANY


def test_many_deletes_wait_for_a_persons_word(visit: Visit, served_shop: Shop, tmp_path: Path) -> None:
    folder = tmp_path / "shrinking"
    served_shop.command.json("sample", folder, "--images", str(2 * GUARDED))
    served_shop.command.json("ingest", folder / "images", "--name", "shrinking")
    for path in sorted((folder / "images").rglob("*.jpg"))[:GUARDED]:
        path.unlink()
    page = visit.page
    page.goto("/jobs?catalog=shrinking")
    page.get_by_role("button", name="Start a sync").click()
    page.get_by_role("button", name="Start", exact=True).click()
    state = page.locator(".progress .tag")
    expect(state).to_have_text("waits for you")
    page.get_by_role("button", name="Allow the deletes").click()
    asked = page.get_by_role("dialog", name="Delete what has vanished?")
    expect(asked).to_contain_text(f"{GUARDED} of {2 * GUARDED} known images have vanished")
    asked.get_by_role("button", name="Allow the deletes").click()
    expect(state).to_have_text("done")
    expect(page.locator(".figures .card", has_text="deleted").locator("dd")).to_have_text(str(GUARDED))


def test_a_lost_connection_is_made_again(visit: Visit, served_shop: Shop, tmp_path: Path) -> None:
    served_shop.command.json("sample", tmp_path / "more", "--images", "300")
    page, lost = visit.page, []

    def lose(route: Route) -> None:
        lost.append(route.request.url)
        route.abort("connectionreset")

    page.route("**/events", lose, times=2)
    start_sync(page, "more", tmp_path / "more/images")
    expect(page.locator("#job-notice")).to_have_text("The connection is lost; it is being made again.")
    expect(page.locator(".progress .tag")).to_have_text("done", timeout=60_000)
    expect(page.locator("#job-notice")).to_be_empty()
    assert len(lost) == 2
    visit.forgive("ERR_CONNECTION_RESET")
