"""Commands on API keys, directly on the ledger: the bootstrap, so they run on the server."""

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from lsec.cli.options import Json, extra
from lsec.cli.output import err, out, print_json, print_table
from lsec.core.settings import load_settings

app = typer.Typer(
    help="API keys, directly on the database of LSEC_SQL_URL or LSEC_DATA_DIR.", no_args_is_help=True
)


class Scope(StrEnum):
    """What a key may do; the same words as in the ledger, whose module needs SQLAlchemy."""

    ADMIN = "admin"
    ANALYST = "analyst"
    READ = "read"
    INGEST = "ingest"


@app.command(epilog="Example: export LSEC_API_KEY=$(lsec keys create --scope admin --name laptop)")
def create(
    *,
    name: Annotated[str, typer.Option(help="Whose key it is, for the list.")],
    scope: Annotated[Scope, typer.Option(help="admin ⊃ analyst ⊃ read; ingest alone and in admin.")],
    as_json: Json = False,
) -> None:
    """Make a key. Its secret is shown this once: on the output alone, so that a script can take it."""
    with extra("api"):
        from lsec.cli import key_ledger
    key, secret = asyncio.run(key_ledger.create(load_settings(), name, scope))
    if as_json:
        print_json({"id": key.id, "name": key.name, "scope": key.scope, "key": secret})
        return
    err.print(
        f"Key {key.id} of scope {key.scope} for {key.name}; keep it, it is not shown again:", markup=False
    )
    out.print(secret, markup=False, soft_wrap=True)


@app.command("list", epilog="Example: lsec keys list")
def list_keys(*, as_json: Json = False) -> None:
    """List all keys, without their secrets."""
    with extra("api"):
        from lsec.cli import key_ledger
    keys = asyncio.run(key_ledger.list_keys(load_settings()))
    columns = ("id", "name", "scope", "created_at", "revoked_at")
    rows = [tuple(getattr(key, column) for column in columns) for key in keys]
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table("API keys", columns, rows)


@app.command(epilog="Example: lsec keys revoke key_…")
def revoke(key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="Id of a key.")]) -> None:
    """Revoke a key; the API refuses it within a second."""
    with extra("api"):
        from lsec.cli import key_ledger
    asyncio.run(key_ledger.revoke(load_settings(), key_id))
    out.print(f"Key {key_id} is revoked.", markup=False)
