"""The merge-join that says what has to be done, and the pages it is committed in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.outcomes import OutcomeKind
from schemas.records import Change, LedgerRow, ManifestRow
from workers.errors import ContractError
from workers.indexing.plan import PAGE_ROWS, Finding, exceeds_guard, join, paged
from workers.indexing.scope import Scope, is_image_name
from workers.ports import Listed

EVERYTHING = Scope()


def listed(key: str, etag: str = "e1", size: int = 10) -> Listed:
    return Listed(key=key, etag=etag, size=size, modified=datetime(2026, 1, 1, tzinfo=UTC))


def known(
    key: str, *, etag: str | None = "e1", outcome: OutcomeKind | None = OutcomeKind.INDEXED, **more: object
) -> LedgerRow:
    row = {"size": 10, "manifest_digest": None, **more}
    return LedgerRow(key=key, etag=etag, outcome=outcome, **row)  # type: ignore[arg-type]


def described(key: str, digest: str = "d1") -> ManifestRow:
    return ManifestRow(key=key, digest=digest, fields={})


def findings(listing: list[Listed], rows: list[LedgerRow], manifest: list[ManifestRow] | None = None) -> dict[str, str]:
    return {entry.key: entry.finding.value for entry in join(listing, rows, manifest or [], scope=EVERYTHING)}


def test_each_side_alone_and_together() -> None:
    assert findings(
        [listed("a.jpg"), listed("b.jpg", etag="e2"), listed("c.jpg"), listed("d.txt")],
        [known("b.jpg"), known("c.jpg"), known("z.jpg")],
        [described("orphan.jpg")],
    ) == {
        "a.jpg": "new",
        "b.jpg": "changed",
        "c.jpg": "unchanged",
        "d.txt": "ignored",
        "orphan.jpg": "manifest_orphan",
        "z.jpg": "vanished",
    }


@pytest.mark.parametrize(
    ("row", "finding"),
    [
        (known("a.jpg", outcome=None, etag=None), Finding.NEW),
        (known("a.jpg", outcome=OutcomeKind.FAILED), Finding.RETRY),
        (known("a.jpg", outcome=OutcomeKind.QUARANTINED), Finding.UNCHANGED),
        (known("a.jpg", outcome=OutcomeKind.QUARANTINED, etag="old"), Finding.CHANGED),
        (known("a.jpg", outcome=OutcomeKind.DUPLICATE), Finding.UNCHANGED),
        (known("a.jpg", size=11), Finding.CHANGED),
        (known("a.jpg", manifest_digest="gone"), Finding.PAYLOAD),
        (known("a.jpg", outcome=OutcomeKind.DELETED), Finding.NEW),
    ],
)
def test_what_the_ledger_holds_decides(row: LedgerRow, finding: Finding) -> None:
    (entry,) = join([listed("a.jpg")], [row], [], scope=EVERYTHING)
    assert entry.finding is finding
    assert (entry.work is not None) is (finding is not Finding.UNCHANGED)


def test_what_a_job_has_planned_is_counted_again_but_not_planned_again() -> None:
    row = known("a.jpg", outcome=None, etag=None, work=Change.NEW)
    (entry,) = join([listed("a.jpg")], [row], [], scope=EVERYTHING)
    assert (entry.finding, entry.work) == (Finding.NEW, None)


def test_a_manifest_row_of_its_own_digest_changes_nothing() -> None:
    row = known("a.jpg", manifest_digest="d1")
    assert findings([listed("a.jpg")], [row], [described("a.jpg", "d1")]) == {"a.jpg": "unchanged"}
    assert findings([listed("a.jpg")], [row], [described("a.jpg", "d2")]) == {"a.jpg": "payload"}


KEYS = st.sets(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=6), max_size=30)


@given(there=KEYS, held=KEYS)
def test_the_join_is_a_set_comparison_in_byte_order(there: set[str], held: set[str]) -> None:
    def in_order(keys: set[str]) -> list[str]:
        return sorted((f"i/{key}.jpg" for key in keys), key=lambda key: key.encode())

    entries = list(join(map(listed, in_order(there)), map(known, in_order(held)), [], scope=EVERYTHING))
    assert [entry.key for entry in entries] == in_order(there | held)
    found = {entry.key: entry.finding for entry in entries}
    visible = {key for key in in_order(there | held) if is_image_name(key)}
    assert {key for key in visible if found[key] is Finding.NEW} == set(in_order(there - held)) & visible
    assert {key for key in found if found[key] is Finding.VANISHED} == set(in_order(held - there))


def test_pages_hold_one_batch_each_and_the_last_is_complete() -> None:
    entries = list(join([listed(f"{n:04d}.jpg") for n in range(25)], [], [], scope=EVERYTHING))
    pages = list(paged(entries, cursor="", batch_items=10))
    assert [len(page.work) for page in pages] == [10, 10, 5]
    assert [page.complete for page in pages] == [False, False, True]
    assert [page.cursor for page in pages] == ["0009.jpg", "0019.jpg", "0024.jpg"]
    assert sum(page.counts.new for page in pages) == 25


def test_a_long_stretch_without_work_is_committed_page_by_page() -> None:
    keys = [f"{n:06d}.jpg" for n in range(PAGE_ROWS + 1)]
    pages = list(paged(join(map(listed, keys), map(known, keys), [], scope=EVERYTHING), cursor="", batch_items=10))
    assert [page.counts.unchanged for page in pages] == [PAGE_ROWS, 1]


def test_an_empty_listing_is_one_complete_page() -> None:
    (page,) = paged([], cursor="m", batch_items=10)
    assert (page.complete, page.cursor, page.work) == (True, "m", ())


@pytest.mark.parametrize(
    ("vanished", "known_items", "stops"),
    [(50, 60, False), (51, 60, True), (51, 10_000, False), (2001, 10_000, True), (60, 60, True)],
)
def test_the_guard_needs_both_a_number_and_a_share(vanished: int, known_items: int, stops: bool) -> None:
    assert exceeds_guard(vanished, known_items) is stops


@pytest.mark.parametrize(
    ("key", "is_image"),
    [
        ("a.jpg", True),
        ("A.JPEG", True),
        ("deep/er/b.WebP", True),
        ("c.heic", True),
        ("LICENSE", False),
        ("notes.txt", False),
        ("archive.jpg.zip", False),
        (".hidden.jpg", False),
        (".catalog/x.jpg", False),
        ("a/.thumbs/x.jpg", False),
        (".jpg", False),
    ],
)
def test_images_by_name(key: str, is_image: bool) -> None:
    assert is_image_name(key) is is_image


def test_globs() -> None:
    scope = Scope(include=["women/**", "*.png"], exclude=["**/draft*"])
    inside = ["women/a.jpg", "women/b/c.jpg", "men/x.png"]
    outside = ["men/a.jpg", "women/draft-1.jpg"]
    assert [key for key in inside + outside if key in scope] == inside
    with pytest.raises(ContractError, match="glob"):
        Scope(include=["!women"])


def test_a_name_without_suffix_is_taken_only_when_a_glob_asks() -> None:
    assert not Scope().takes("d41d8cd98f00b204")
    assert Scope(include=["**"]).takes("d41d8cd98f00b204")
