"""The ledger's contract: API keys, of which the secret is never kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.access import ApiKey, Scope, key_text, new_key_id, new_secret, secret_digest, split_key
from tests.support.ledgers import PLACES, ledger_in
from workers.adapters.ledger import SqlLedger
from workers.errors import ContractError, NotFoundError


@pytest.fixture(params=PLACES)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlLedger]:
    with ledger_in(request.param, tmp_path) as opened:
        yield opened


def add(
    ledger: SqlLedger,
    name: str = "web shop",
    *,
    scopes: tuple[Scope, ...] = (Scope.SEARCH,),
    catalogs: tuple[str, ...] | None = None,
    valid_s: float | None = None,
) -> ApiKey:
    return ledger.add_api_key(
        new_key_id(), name, digest=secret_digest("s"), scopes=scopes, catalogs=catalogs, valid_s=valid_s
    )


def test_a_key_is_kept_as_it_was_made(ledger: SqlLedger) -> None:
    first = add(ledger)
    other = add(ledger, "feed", scopes=(Scope.SEARCH, Scope.INGEST), catalogs=("shop", "archive", "shop"), valid_s=60.0)
    assert ledger.api_keys() == [first, other]
    assert (first.scopes, first.catalogs, first.expires_at, first.revoked_at) == ((Scope.SEARCH,), None, None, None)
    assert (other.scopes, other.catalogs) == ((Scope.SEARCH, Scope.INGEST), ("archive", "shop"))
    assert other.expires_at is not None
    assert timedelta(seconds=59) < other.expires_at - other.created_at <= timedelta(seconds=61)
    assert add(ledger, "none of them", catalogs=()).catalogs == ()


def test_a_name_is_free_again_when_its_key_is_revoked(ledger: SqlLedger) -> None:
    first = add(ledger)
    with pytest.raises(ContractError, match="there is a key 'web shop' already"):
        add(ledger)
    revoked = ledger.revoke_api_key("web shop")
    assert (revoked.id, revoked.revoked_at is None) == (first.id, False)
    second = add(ledger)
    assert ledger.revoke_api_key("web shop").id == second.id
    assert ledger.revoke_api_key(first.id) == revoked
    assert [key.is_valid(datetime.now(UTC)) for key in ledger.api_keys()] == [False, False]
    with pytest.raises(NotFoundError, match="no key 'nobody'"):
        ledger.revoke_api_key("nobody")


def test_use_is_written_down_now_and_then(ledger: SqlLedger) -> None:
    key = add(ledger)
    ledger.note_api_key_use(key.id, every_s=60.0)
    (used,) = ledger.api_keys()
    assert used.last_used_at is not None
    time.sleep(0.01)
    ledger.note_api_key_use(key.id, every_s=60.0)
    assert ledger.api_keys() == [used]
    ledger.note_api_key_use(key.id, every_s=0.0)
    assert (ledger.api_keys()[0].last_used_at or used.last_used_at) > used.last_used_at
    ledger.note_api_key_use("000000000000", every_s=0.0)


def test_a_key_opens_what_its_scopes_cover_until_it_expires(ledger: SqlLedger) -> None:
    search, admin = add(ledger, valid_s=60.0), add(ledger, "root", scopes=(Scope.ADMIN,))
    assert [search.grants(scope) for scope in Scope] == [True, False, False]
    assert [admin.grants(scope) for scope in Scope] == [True, True, True]
    now = datetime.now(UTC)
    assert [key.is_valid(now) for key in (search, admin)] == [True, True]
    assert [key.is_valid(now + timedelta(minutes=2)) for key in (search, admin)] == [False, True]


def test_a_key_is_taken_apart_as_it_was_put_together() -> None:
    key_id, secret = new_key_id(), new_secret()
    assert split_key(key_text(key_id, secret)) == (key_id, secret)
    assert len(bytes.fromhex(secret)) * 8 == 256
    whole = key_text(key_id, secret)
    for wrong in ("", whole[:-1], whole + "0", whole.upper(), whole.replace("catalog", "other"), whole + "\n"):
        assert split_key(wrong) is None
