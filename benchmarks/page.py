"""How soon the search page is usable, and how soon hits show after a photograph was chosen, in a real Chromium.

    python -m benchmarks.page --url http://127.0.0.1:8080 --photo photo.jpg --rounds 20

Measured against a `catalog serve` that runs. "Usable": the first picture of the catalog is on the page. "Hits": the first
hit's tile is there, counted from the moment the file is handed to the page.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

_HITS = """() => new Promise((resolve) => {
  const heading = document.getElementById("results-heading");
  const input = document.getElementById("file");
  input.addEventListener("change", () => {
    const started = performance.now();
    new MutationObserver((_, observer) => {
      if (heading.textContent !== "Like your photograph") return;
      observer.disconnect();
      requestAnimationFrame(() => resolve(performance.now() - started));
    }).observe(heading, { childList: true, characterData: true, subtree: true });
  }, { capture: true, once: true });
})"""


def measure(browser: Browser, url: str, photo: Path) -> tuple[float, float]:
    """Milliseconds until the page is usable with an empty cache, and from the choice of a photograph to its hits."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector(".tile img.there")
    usable = float(page.evaluate("performance.now()"))
    page.wait_for_selector("#filters fieldset")
    page.evaluate(f"() => {{ window.hits = ({_HITS})(); }}")
    page.set_input_files("#file", photo)
    hits = float(page.evaluate("window.hits"))
    context.close()
    return usable, hits


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    path = next(found for name in ("chromium", "google-chrome") if (found := shutil.which(name)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        measure(browser, asked.url, asked.photo)  # the server's first query
        rows = [measure(browser, asked.url, asked.photo) for _ in range(asked.rounds)]
        browser.close()
    for name, values in zip(("usable_ms", "hits_ms"), zip(*rows, strict=True), strict=True):
        print(
            json.dumps(
                {"measure": name, "median": statistics.median(values), "worst": max(values), "rounds": len(values)}
            )
        )


if __name__ == "__main__":
    main()
