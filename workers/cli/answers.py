"""What a search found: a table for people, an object for programs."""

from __future__ import annotations

from typing import Any

from schemas.query import Scored
from workers.cli.output import Output
from workers.query.search import Answer


def show_answer(output: Output, answer: Answer) -> None:
    """Print hits, facets and where the next page begins."""
    if output.json:
        output.emit(answer_json(answer))
        return
    if answer.hits:
        _show_hits(output, answer)
    else:
        output.say("no image matches; loosen the filters or lower --min-score")
    for field, counts in answer.facets.items():
        output.table(["#images", field], [(f"{one.count:,}", one.value) for one in counts])
    if answer.total is not None:
        output.say(f"{answer.total:,} images pass the filter", style="dim")
    if answer.next_cursor is not None:
        output.note(f"more: the same with --cursor {answer.next_cursor}")


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer as programs read it."""
    seen = answer.seen
    return {
        "model": answer.model,
        "generation": answer.generation,
        "took_ms": round(answer.took_ms, 2),
        "no_match_below": answer.no_match_below,
        "query": None
        if seen is None
        else {
            "category": seen.category,
            "confidence": _rounded(seen.confidence),
            "categories": [{"category": c, "confidence": round(p, 4)} for c, p in seen.categories or ()],
        },
        "hits": [
            {
                "key": hit.payload.key,
                "product_id": hit.payload.product_id,
                "score": round(hit.score, 6),
                "likeness": _rounded(likeness),
                "is_match": _is_match(hit, answer),
                "category": hit.payload.category,
                "payload": hit.payload.to_json(),
            }
            for hit, likeness in zip(answer.hits, answer.likeness, strict=True)
        ],
        "total": answer.total,
        "facets": {f: [{"value": c.value, "count": c.count} for c in counts] for f, counts in answer.facets.items()},
        "next_cursor": answer.next_cursor,
    }


def _show_hits(output: Output, answer: Answer) -> None:
    rows = [
        (
            f"{hit.score:.3f}",
            f"{likeness:.0%}" if likeness is not None else None,
            hit.payload.category,
            f"{hit.payload.category_confidence:.0%}" if hit.payload.category_confidence is not None else None,
            hit.payload.product_id,
            hit.payload.brand,
            hit.payload.price,
            hit.payload.key,
        )
        for hit, likeness in zip(answer.hits, answer.likeness, strict=True)
    ]
    output.table(["#score", "#likeness", "category", "#sure", "product", "brand", "#price", "image"], rows)
    output.say(f"{len(rows)} hits in {answer.took_ms:.1f} ms", style="dim")


def _is_match(hit: Scored, answer: Answer) -> bool | None:
    return None if answer.no_match_below is None else hit.score >= answer.no_match_below


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
