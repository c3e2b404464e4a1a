"""The whole loop in one command: stack, events, graph, training, publication, recommendations, influence."""

import asyncio
import shlex
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.status import Status

from lsec.cli import influence_output, serving
from lsec.cli.demo_source import DemoRecord, Source, open_source, write_record
from lsec.cli.options import api_url, extra
from lsec.cli.output import err, out, print_table
from lsec.cli.sending import How, Sent, of_events, send_all
from lsec.cli.training import show_gate, watch
from lsec.client import Client
from lsec.client.sending import DEFAULT_BATCH
from lsec.client.serving_answers import Recommendations
from lsec.core.errors import LsecError
from lsec.core.settings import NEO4J_PASSWORD_FILE, Settings, load_settings

NUM_USERS = 3
PUBLICATION_TIMEOUT_S = 60.0
TRICKLE_EVENTS = 5
TRICKLE_PAUSE_S = 1.0


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(rich_help_panel="Server", epilog="Examples: lsec demo · lsec demo data/lastfm --exit")(demo)


def demo(
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DATA]", help="Folder in the paper's layout, instead of the simulated market."
        ),
    ] = None,
    *,
    leave: Annotated[bool, typer.Option("--exit", help="Stop everything when all is shown.")] = False,
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Folder of the demo's data.")] = Path(
        ".lsec/demo"
    ),
) -> None:
    """Run the whole loop: start the stack, stream a market in, train, publish, recommend."""
    with extra("local", "api", "workers"):
        from lsec.cli import key_ledger
        from lsec.local import ConsoleReporter, running_stack
    source, record = open_source(data, data_dir)
    steps = _Steps()
    try:
        with ConsoleReporter(err) as reporter:
            steps.begin("start the stack")
            with running_stack(_demo_settings(data_dir), on_event=reporter) as stack:
                settings = stack.settings
                _, secret = asyncio.run(key_ledger.create_only(settings, "demo", "admin"))
                with Client(api_url(settings), secret) as client:
                    _run_loop(client, source, record, settings, steps)
                    _show_next_steps(settings, secret, source)
                    if not leave:
                        for _ in _trickle(client, source):
                            stack.check()
    except KeyboardInterrupt:
        err.print("The demo is stopped; its data are kept, and a second run goes on with them.")


def _run_loop(
    client: Client, source: Source, record: DemoRecord, settings: Settings, steps: "_Steps"
) -> None:
    """Events in, graph, training, publication, then what comes out."""
    steps.begin("send events and write them to the graph")
    if record.is_complete:
        out.print(f"The graph has the events of {source.title} from an earlier run.", markup=False)
    else:
        write_record(settings.data_dir, record)
        events = of_events(source.events(), batch=DEFAULT_BATCH, total=source.total)
        sent = Sent()
        send_all(client, events, f"Sending {source.title}", How(), sent)
        if sent.rejected:
            raise LsecError(f"One was rejected: {sent.rejected[0].words}")
        record.is_complete = True
        write_record(settings.data_dir, record)
    steps.begin("train")
    release_id = _train(client, settings, override_gate=source.override_gate)
    steps.begin("publish")
    answers = _published(client, source.users(NUM_USERS), release_id)
    steps.end()
    for answer in answers:
        serving.show(answer)
    show_influence(client, answers)
    steps.show()


def _train(client: Client, settings: Settings, *, override_gate: str | None) -> str:
    """The release of a new training; LsecError that says why, and where the worker's log is, if it fails."""
    run = watch(client, client.train(override_gate=override_gate))
    if gate := run.metrics.get("gate"):
        show_gate(gate)
    if run.status == "succeeded" and run.release_id is not None:
        return run.release_id
    raise LsecError(
        f"The training ended as {run.status}: {run.error or 'it made no release'}",
        remedy=f"The worker's log is {settings.data_dir / 'logs/worker.log'}.",
    )


def _published(client: Client, users: list[str], release_id: str) -> list[Recommendations]:
    """The users' recommendations once they come from the release."""
    deadline = time.monotonic() + PUBLICATION_TIMEOUT_S
    while True:
        answers = [client.recommendations(user, k=5) for user in users]
        if all(answer.release_id == release_id for answer in answers):
            return answers
        if time.monotonic() > deadline:
            raise LsecError(
                f"Release {release_id} is not served {PUBLICATION_TIMEOUT_S:.0f} s after its training.",
                remedy="`lsec releases list` shows which one is active.",
            )
        time.sleep(0.2)


def show_influence(client: Client, answers: list[Recommendations]) -> None:
    """The leaderboard; where no purchase names a streamer, who sells the first recommended product sold."""
    table = client.leaderboard(limit=8)
    products = (each.product_id for answer in answers for each in answer.products)
    for product in () if table.rows else dict.fromkeys(products):
        sellers = client.product_streamers(product, limit=8)
        if sellers.rows:
            out.print(f"No purchase names a streamer; those who sell {product}:", markup=False)
            table = sellers
            break
    influence_output.show(table, as_json=False)


def _show_next_steps(settings: Settings, secret: str, source: Source) -> None:
    url = api_url(settings)
    user = source.users(1)[0]
    header = shlex.quote(f"Authorization: Bearer {secret}")
    password_file = settings.data_dir / NEO4J_PASSWORD_FILE
    lines = (
        f"API          {url}   (documentation: {url}/docs)",
        f"Neo4j        {settings.neo4j_url}   (user {settings.neo4j_user}, password in {password_file})",
        f"Data         {settings.data_dir}",
        f"Admin key    {secret}",
        "",
        f"export LSEC_URL={url} LSEC_API_KEY={secret}",
        f"lsec recommend {shlex.quote(user)} && lsec influence leaderboard",
        f"curl -s {shlex.quote(f'{url}/v1/users/{user}/recommendations?k=5')} -H {header}",
        f"curl -s {url}/v1/events/lag -H {header}",
        f"curl -s -X POST {url}/v1/trainings -H {header} -H 'Content-Type: application/json' -d '{{}}'",
    )
    out.print()
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def _trickle(client: Client, source: Source) -> Iterator[None]:
    """Sends a few events each second for ever, and yields after each time."""
    events = source.trickle()
    num_sent = 0
    with Status("Events are trickling in; Ctrl-C stops everything.", console=err) as line:
        while some := list(islice(events, TRICKLE_EVENTS)):
            num_sent += client.send_events(some).sent
            backlog = client.lag().backlog_events
            line.update(f"{num_sent:,} more events sent, {backlog:,} under way. Ctrl-C stops everything.")
            yield
            time.sleep(TRICKLE_PAUSE_S)


def _demo_settings(data_dir: Path) -> Settings:
    """Settings that keep everything in the demo's folder; free ports where the usual ones are taken."""
    # Here, as `demo` has found by now that the extra is there.
    from lsec.local.sockets import port_is_free

    settings = load_settings()
    ports = ("api_port", "bolt_port", "valkey_port")
    places = ("artifacts_dir", "runs_dir", "snapshots_dir", "sql_url")
    own: dict[str, object] = {"data_dir": data_dir, **dict.fromkeys(places)}
    taken = {name: 0 for name in ports if not port_is_free(getattr(settings, name))}
    return settings.model_copy(update=own | taken)


class _Steps:
    """How long each step of the demo took."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._current = ""
        self._since = 0.0

    def begin(self, name: str) -> None:
        """Ends the step before, and announces the next."""
        self.end()
        self._current, self._since = name, time.monotonic()
        err.print(f"── {name}", style="bold", markup=False)

    def end(self) -> None:
        """Ends the current step."""
        if self._current:
            self._seconds[self._current] = round(time.monotonic() - self._since, 1)
        self._current = ""

    def show(self) -> None:
        """Prints the seconds of all steps."""
        rows = [*self._seconds.items(), ("in all", round(sum(self._seconds.values()), 1))]
        print_table("Seconds", ("step", "seconds"), rows)
