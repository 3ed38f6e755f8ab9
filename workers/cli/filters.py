"""`--filter`: conditions on any field that the catalog can be filtered by, read by the field's kind."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from schemas.collection import FieldKind
from schemas.query import AnyOf, Condition, FilterValue, Missing, NoneOf, Range
from workers.errors import ContractError

SYNTAX = (
    "brand=Acme,Bolt (any of), brand!=Acme (none of), price=10..80 or price>=10 (a range, bounds included), "
    "!colour (missing)"
)
_TRUTH = {"true": True, "yes": True, "false": False, "no": False}
_ONE = re.compile(r"(?P<field>[\w-]+)\s*(?P<sign>!=|>=|<=|=)(?P<rest>.*)", re.DOTALL)
_COMMA = re.compile(r"(?<!\\),")


def read_filters(texts: Iterable[str], kinds: Mapping[str, FieldKind], catalog: str) -> tuple[Condition, ...]:
    """The conditions that the options name.

    Args:
        texts: As `SYNTAX` shows; a comma within a value is written with a backslash before it.
        kinds: The fields of the catalog that can be filtered.
        catalog: Its name, for messages.

    Raises:
        ContractError: no such field, no such syntax, or a value that the field's kind never holds.
    """
    return tuple(_condition(text, kinds, catalog) for text in texts)


def _condition(text: str, kinds: Mapping[str, FieldKind], catalog: str) -> Condition:
    if text.startswith("!") and "=" not in text:
        return Missing(field=_known(text[1:].strip(), kinds, catalog, text))
    found = _ONE.fullmatch(text.strip())
    if found is None:
        raise ContractError(f"--filter {text!r} is none; write it as {SYNTAX}")
    field, sign, rest = _known(found["field"], kinds, catalog, text), found["sign"], found["rest"].strip()
    kind = kinds[field]
    if sign in (">=", "<="):
        number = _number(rest, text)
        return Range(field=field, minimum=number) if sign == ">=" else Range(field=field, maximum=number)
    if sign == "=" and kind in ("float", "integer") and ".." in rest:
        return _range(field, rest, text)
    if kind == "float" and sign == "=":
        number = _number(rest, text)
        return Range(field=field, minimum=number, maximum=number)
    values = tuple(_value(part.replace("\\,", ",").strip(), kind, text) for part in _COMMA.split(rest))
    return AnyOf(field=field, values=values) if sign == "=" else NoneOf(field=field, values=values)


def _known(field: str, kinds: Mapping[str, FieldKind], catalog: str, text: str) -> str:
    if field not in kinds:
        raise ContractError(
            f"--filter {text!r}: the catalog {catalog!r} has no field {field!r} to filter by; it has "
            + ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        )
    return field


def _range(field: str, rest: str, text: str) -> Range:
    low, _, high = (part.strip() for part in rest.partition(".."))
    if not low and not high:
        raise ContractError(f"--filter {text!r}: a range needs at least one bound")
    minimum, maximum = (_number(part, text) if part else None for part in (low, high))
    if minimum is not None and maximum is not None and minimum > maximum:
        raise ContractError(f"--filter {text!r}: {minimum:g} is above {maximum:g}")
    return Range(field=field, minimum=minimum, maximum=maximum)


def _number(word: str, text: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ContractError(f"--filter {text!r}: {word!r} is no number")
    return number


def _value(word: str, kind: FieldKind, text: str) -> FilterValue:
    if kind == "bool":
        if word.casefold() not in _TRUTH:
            raise ContractError(f"--filter {text!r}: {word!r} is neither true nor false")
        return _TRUTH[word.casefold()]
    if kind == "integer":
        try:
            return int(word)
        except ValueError:
            raise ContractError(f"--filter {text!r}: {word!r} is no whole number") from None
    if not word:
        raise ContractError(
            f"--filter {text!r} names an empty value; for images without one write !{text.split('=', maxsplit=1)[0]}"
        )
    return word
