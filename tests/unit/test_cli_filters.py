"""`--filter`, read by the kind of the field."""

from __future__ import annotations

import pytest

from schemas.collection import FieldKind
from schemas.query import AnyOf, Condition, Missing, NoneOf, Range
from workers.cli.filters import read_filters
from workers.cli.search import read_crop, read_min_score
from workers.errors import ContractError

KINDS: dict[str, FieldKind] = {"brand": "keyword", "price": "float", "size": "integer", "in_stock": "bool"}


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("brand=Acme", AnyOf(field="brand", values=("Acme",))),
        ("brand = Acme, Bolt & Co", AnyOf(field="brand", values=("Acme", "Bolt & Co"))),
        (r"brand=Acme\, Inc,a=b..c", AnyOf(field="brand", values=("Acme, Inc", "a=b..c"))),
        ("brand!=Acme,Bolt", NoneOf(field="brand", values=("Acme", "Bolt"))),
        ("!brand", Missing(field="brand")),
        ("price=10..80.5", Range(field="price", minimum=10.0, maximum=80.5)),
        ("price=..80", Range(field="price", maximum=80.0)),
        ("price=10", Range(field="price", minimum=10.0, maximum=10.0)),
        ("price>=10", Range(field="price", minimum=10.0)),
        ("size<=-3", Range(field="size", maximum=-3.0)),
        ("size=36,38", AnyOf(field="size", values=(36, 38))),
        ("in_stock=yes", AnyOf(field="in_stock", values=(True,))),
    ],
)
def test_readable_conditions(text: str, condition: Condition) -> None:
    assert read_filters([text], KINDS, "shop") == (condition,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("brand", "write it as"),
        ("=x", "write it as"),
        ("season=summer", r"no field 'season' to filter by; it has brand \(keyword\)"),
        ("!season", "no field 'season'"),
        ("price=80..10", "80 is above 10"),
        ("price=..", "at least one bound"),
        ("price>=cheap", "'cheap' is no number"),
        ("price>=nan", "'nan' is no number"),
        ("size=M", "'M' is no whole number"),
        ("in_stock=perhaps", "neither true nor false"),
        ("brand=", "an empty value; for images without one write !brand"),
    ],
)
def test_what_cannot_be_meant(text: str, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        read_filters([text], KINDS, "shop")


def test_scores_and_crops() -> None:
    assert read_min_score(None) == (None, False)
    assert read_min_score("match") == (None, True)
    assert read_min_score("0.5") == (0.5, False)
    assert read_crop("0,0.1,1, 0.5") == (0.0, 0.1, 1.0, 0.5)
    for word in ("1.5", "nan", "best"):
        with pytest.raises(ContractError, match="or: match"):
            read_min_score(word)
    for text in ("0,0,1", "a,b,c,d", ""):
        with pytest.raises(ContractError, match="four shares"):
            read_crop(text)
