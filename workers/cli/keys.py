"""Commands about API keys: `catalog keys add | list | revoke`. They work on the ledger itself, never through a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.options import Json

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

    from schemas.access import ApiKey, Scope

app = typer.Typer(help="Keys that callers of the HTTP server bear.", no_args_is_help=True)
DAY_S = 86_400.0


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Who bears it, as 'web shop'.", metavar="NAME")],
    scope: Annotated[list[str] | None, typer.Option(help="search, ingest or admin (repeatable).")] = None,
    catalog: Annotated[
        list[str] | None,
        typer.Option("--name", "-n", help="Only for this catalog (repeatable); default: for all of them."),
    ] = None,
    days: Annotated[
        float | None, typer.Option(min=0.01, max=3650, help="Days until it expires; default: never.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    from schemas.access import Scope, key_text, new_key_id, new_secret, secret_digest
    from workers.bootstrap import open_process
    from workers.cli.output import Output
    from workers.errors import ContractError
    from workers.indexing.submit import checked_name

    output = Output(json=json)
    scopes = [read_scope(word) for word in scope or [Scope.SEARCH.value]]
    if not name.strip() or len(name) > 64 or not name.isprintable():
        raise ContractError(f"{name!r} cannot name a key: use 1 to 64 printable characters")
    if Scope.ADMIN in scopes and catalog:
        raise ContractError("a key with the scope admin is for all catalogs: leave out --name, or the scope")
    for one in catalog or ():
        checked_name(one)
    secret = new_secret()
    with open_process() as process:
        made = process.ledger.add_api_key(
            new_key_id(),
            name,
            digest=secret_digest(secret),
            scopes=tuple(dict.fromkeys(scopes)),
            catalogs=catalog or None,
            valid_s=None if days is None else days * DAY_S,
        )
    text = key_text(made.id, secret)
    if json:
        output.emit(_key_json(made) | {"key": text})
        return
    output.note("keep it now: it is not shown again", style="yellow")
    output.say(text)


@app.command("list")
def list_keys(json: Json = False) -> None:
    """Keys with what they are good for, and when they were last used."""
    from workers.bootstrap import open_process
    from workers.cli.output import Output

    output = Output(json=json)
    with open_process() as process:
        found = process.ledger.api_keys()
    if json:
        for key in found:
            output.emit(_key_json(key))
        return
    if not found:
        output.say("no keys yet; make one with: catalog keys add NAME --scope search")
        return
    rows = [
        (
            key.id,
            key.name,
            " ".join(key.scopes),
            "all" if key.catalogs is None else " ".join(key.catalogs),
            _state(key),
            _shown(key.created_at),
            _shown(key.expires_at),
            _shown(key.last_used_at),
        )
        for key in found
    ]
    columns = ["key", "name", "scopes", "catalogs", "state", "made (UTC)", "expires (UTC)", "last used (UTC)"]
    output.table(columns, rows)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="A key's id or name.", metavar="KEY")],
    json: Json = False,
) -> None:
    """Let a key open nothing any more; servers that run know of it within seconds."""
    from workers.bootstrap import open_process
    from workers.cli.output import Output

    output = Output(json=json)
    with open_process() as process:
        revoked = process.ledger.revoke_api_key(key)
    if json:
        output.emit(_key_json(revoked))
    else:
        output.say(f"revoked {revoked.id} ({revoked.name})")


def read_scope(word: str) -> Scope:
    """The scope of that name, or ContractError naming those there are."""
    from schemas.access import Scope
    from workers.errors import ContractError

    try:
        return Scope(word)
    except ValueError:
        raise ContractError(f"{word!r} is no scope; there are: {', '.join(Scope)}") from None


def _key_json(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "catalogs": None if key.catalogs is None else list(key.catalogs),
        "state": _state(key),
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at is not None else None,
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at is not None else None,
        "last_used_at": key.last_used_at.isoformat() if key.last_used_at is not None else None,
    }


def _state(key: ApiKey) -> str:
    from datetime import UTC, datetime

    if key.revoked_at is not None:
        return "revoked"
    return "valid" if key.is_valid(datetime.now(UTC)) else "expired"


def _shown(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%d %H:%M}"
