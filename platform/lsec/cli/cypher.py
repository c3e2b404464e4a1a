"""The command that runs a Cypher statement of one's own."""

from typing import Annotated, Any

import msgspec
import typer

from lsec.cli.options import DEFAULT_URL, Json, Key, Url, connect
from lsec.cli.output import err, out, print_json, print_line, print_table
from lsec.client.cypher_routes import CypherHeader, CypherRow, CypherSummary
from lsec.core.errors import InvalidInput


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "cypher",
        rich_help_panel="Events",
        epilog="Example: lsec cypher 'MATCH (u:User {id: $id})-[:BOUGHT]->(p) RETURN p.id' --param id=user-1",
    )(cypher)


def cypher(
    statement: Annotated[str, typer.Argument(help="The statement, or - to read it from the standard input.")],
    *,
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A parameter, JSON or text; may be repeated."),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show the plan alone.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Show the rows and what each step did.")] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="End it after so long.")
    ] = None,
    max_rows: Annotated[int | None, typer.Option(min=1, help="Most rows.")] = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Run a Cypher statement that only reads the graph; with --json each line is a row. Ctrl-C ends it."""
    text = typer.get_text_stream("stdin").read() if statement == "-" else statement
    header, rows = None, []
    with connect(url, key) as client:
        for line in client.cypher(
            text,
            dict(map(_parameter, param or ())),
            mode="explain" if explain else "profile" if profile else "run",
            timeout_s=timeout,
            max_rows=max_rows,
        ):
            match line:
                case CypherHeader():
                    header = line
                case CypherRow(values) if as_json and header is not None:
                    print_line(dict(zip(header.columns, values, strict=True)))
                case CypherRow(values):
                    rows.append(values)
                case CypherSummary():
                    assert header is not None
                    _show(header, rows, line, as_json=as_json)


def _parameter(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise InvalidInput(f"{text!r} is no NAME=VALUE.")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def _show(header: CypherHeader, rows: list[list[Any]], summary: CypherSummary, *, as_json: bool) -> None:
    if not as_json and rows:
        print_table("cypher", header.columns, [[_cell(value) for value in row] for row in rows])
    if summary.plan is not None:
        if as_json:
            print_json(summary.plan)
        else:
            _print_plan(summary.plan)
    cut = f", cut off by the limit of {summary.truncated}" if summary.truncated else ""
    err.print(f"{summary.rows:,} rows in {summary.ms} ms{cut}", markup=False)


def _cell(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value


def _print_plan(plan: dict[str, Any], depth: int = 0) -> None:
    rows = plan.get("rows", plan.get("estimated_rows"))
    line = f"{'  ' * depth}{plan['operator']}  {plan.get('details', '')}  rows={rows}"
    hits = f" hits={plan['db_hits']}" if "db_hits" in plan else ""
    out.print(line + hits, markup=False, soft_wrap=True)
    for child in plan["children"]:
        _print_plan(child, depth + 1)
