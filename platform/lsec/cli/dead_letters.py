"""Commands on dead letters: what could not go into the graph is shown, corrected, replayed or purged."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from lsec.cli.options import DEFAULT_URL, TIME_FORMATS, Json, Key, Url, connect, in_utc
from lsec.cli.output import counting, err, out, print_json, print_table, shown
from lsec.client import Client
from lsec.client.answers import DeadLetter, Refusal, Replay
from lsec.client.errors import ApiError
from lsec.core.errors import InvalidInput

REPLAY_BATCH = 1000
"""Letters of one request; each is a transaction."""

app = typer.Typer(
    help="Dead letters: events that could not go into the graph. Show one, correct it, replay it.",
    no_args_is_help=True,
)


class State(StrEnum):
    """Whether a letter's event is still set aside, or in the log again."""

    OPEN = "open"
    REPLAYED = "replayed"


class ListedState(StrEnum):
    """The same, and both."""

    OPEN = "open"
    REPLAYED = "replayed"
    ALL = "all"


LetterId = Annotated[str, typer.Argument(metavar="LETTER", help="Id of a dead letter.")]
LetterIds = Annotated[
    list[str] | None, typer.Argument(metavar="[LETTER]...", help="Ids of dead letters.", show_default=False)
]
Shard = Annotated[int | None, typer.Option(min=0, help="Only those of this shard.")]
EventId = Annotated[str | None, typer.Option(metavar="ID", help="Only those of this event.")]
Before = Annotated[
    datetime | None,
    typer.Option(formats=TIME_FORMATS, metavar="TIME", help="Only those set aside before (UTC)."),
]


@app.command("list", epilog="Example: lsec dead-letters list --json")
def list_letters(
    *,
    state: Annotated[ListedState, typer.Option(help="Which ones.")] = ListedState.OPEN,
    shard: Shard = None,
    event_id: EventId = None,
    before: Before = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most letters to list.")] = 100,
    cursor: Annotated[str | None, typer.Option(help="Go on after a list that was longer.")] = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List the dead letters, newest first, each with the reason."""
    with connect(url, key) as client:
        answer = client.dead_letters(
            state=state,
            shard=shard,
            event_id=event_id,
            before=in_utc(before),
            limit=limit,
            cursor=cursor,
        )
    if as_json:
        print_json(answer)
        return
    print_table(
        "Dead letters",
        ("letter", "state", "event", "shard", "set aside", "fixed", "reason"),
        [
            (each.id, each.state, each.event_id, each.shard, each.created_at, each.fixed_at, each.reason)
            for each in answer.dead_letters
        ],
    )
    if answer.next:
        err.print(f"There are more: --cursor {answer.next}", markup=False)


@app.command(epilog="Example: lsec dead-letters show dl_… --json > letter.json")
def show(letter: LetterId, *, as_json: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Show a dead letter with its event. Edit what --json writes, and give it to `fix`."""
    with connect(url, key) as client:
        answer = client.dead_letter(letter)
    if as_json:
        print_json(answer)
        return
    _print(answer)
    if answer.event is not None:
        print_json(answer.event)
    else:
        out.print(f"What came is no event; in base64: {answer.payload_base64}", markup=False, soft_wrap=True)


@app.command(
    epilog="Examples: lsec dead-letters fix dl_… letter.json · "
    "lsec dead-letters show dl_… --json | sed 's/USD/EUR/' | lsec dead-letters fix dl_… -"
)
def fix(
    letter: LetterId,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="JSON of the event, or of what `show` wrote; `-` is the input."),
    ],
    *,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Put a corrected event into a dead letter. It keeps its event_id; `replay` sends it on."""
    event = _read_event(file)
    with connect(url, key) as client:
        answer = client.fix_dead_letter(letter, event)
    if as_json:
        print_json(answer)
        return
    out.print(f"Dead letter {letter} holds the corrected event. Next: lsec dead-letters replay {letter}")


@app.command(
    epilog="Examples: lsec dead-letters replay dl_… · lsec dead-letters replay --all · "
    "lsec dead-letters replay --before 2026-01-31"
)
def replay(
    letters: LetterIds = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All open ones.")] = False,
    shard: Shard = None,
    event_id: EventId = None,
    before: Before = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000, help="Most letters to replay.", show_default=f"{REPLAY_BATCH}; --all has none"
        ),
    ] = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Send the events of dead letters to the graph again, each once however often this runs."""
    _require_one_way(letters, everything, is_filtered=(shard, event_id, before) != (None, None, None))
    with connect(url, key) as client:
        replay_some = partial(
            client.replay_dead_letters, shard=shard, event_id=event_id, before=in_utc(before)
        )
        if letters:
            done = _replay_each(client, letters)
        elif everything and limit is None:
            done = _replay_all(client, replay_some)
        else:
            done = replay_some(limit=limit or REPLAY_BATCH)
    if as_json:
        print_json(done)
    else:
        out.print(f"{done.replayed:,} dead letters replayed; {done.open:,} are open.")
    _end_with(done.refused, is_told=not as_json)


@app.command(
    epilog="Examples: lsec dead-letters purge --state replayed · lsec dead-letters purge dl_… · "
    "lsec dead-letters purge --all"
)
def purge(
    letters: LetterIds = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All of them, open ones too.")] = False,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    shard: Shard = None,
    event_id: EventId = None,
    before: Before = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Drop dead letters for ever. The events of open ones are gone with them, and may be sent anew.

    Of letters that are named, one that is refused stays, the others go, and the command ends with 1.
    """
    chosen = (state, shard, event_id, before)
    _require_one_way(letters, everything, is_filtered=chosen != (None, None, None, None))
    refused: list[Refusal] = []
    with connect(url, key) as client:
        if letters:
            named = list(dict.fromkeys(letters))
            refused = _refused(named, client.purge_dead_letter)
            num = len(named) - len(refused)
        else:
            num = client.purge_dead_letters(
                state=state, shard=shard, event_id=event_id, before=in_utc(before), everything=everything
            ).purged
    if as_json:
        print_json({"purged": num, "refused": refused} if letters else {"purged": num})
    else:
        out.print(f"{num:,} dead letters purged.")
    _end_with(refused, is_told=not as_json)


def _end_with(refused: list[Refusal], *, is_told: bool) -> None:
    """End with 1 if any was refused, and tell which and why."""
    for each in refused if is_told else ():
        err.print(f"  {each.id}: {each.reason}", markup=False, soft_wrap=True)
    if refused:
        raise typer.Exit(1)


def _require_one_way(letters: list[str] | None, everything: bool, *, is_filtered: bool) -> None:
    """A usage error unless the letters are named, or filtered, or all are meant."""
    if (bool(letters), everything or is_filtered).count(True) != 1:
        raise typer.BadParameter("Give ids of dead letters, or filters, or --all.")


def _replay_each(client: Client, letters: list[str]) -> Replay:
    refused = _refused(letters, client.replay_dead_letter)
    return Replay(replayed=len(letters) - len(refused), refused=refused, open=client.lag().dead_letters)


def _refused(letters: list[str], ask: Callable[[str], object]) -> list[Refusal]:
    """Those of the letters that the API refuses, as gone or not to be touched now; the others go on."""
    refused = []
    for letter in letters:
        try:
            ask(letter)
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            refused.append(Refusal(id=letter, reason=str(error)))
    return refused


def _replay_all(client: Client, replay_some: Callable[..., Replay]) -> Replay:
    """Replays until a call replays nothing more, as many letters as are open now.

    What the graph refuses again is a new letter, so without an end this could go round for ever.
    """
    num_open = client.lag().dead_letters
    done = Replay(replayed=0)
    replayed = 0
    with counting("Replaying", num_open) as show:
        while replayed < num_open:
            done = replay_some(limit=min(REPLAY_BATCH, num_open - replayed))
            replayed += done.replayed
            show(replayed)
            if not done.replayed:
                break
    return msgspec.structs.replace(done, replayed=replayed)


def _read_event(file: Path) -> bytes:
    """The event's JSON; InvalidInput if the file has none."""
    try:
        text = typer.get_binary_stream("stdin").read() if str(file) == "-" else file.read_bytes()
        found: Any = msgspec.json.decode(text)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise InvalidInput(
            f"{file} is no JSON: {error}.", remedy="Give one event as a JSON object."
        ) from error
    is_letter = isinstance(found, dict) and "type" not in found and isinstance(found.get("event"), dict)
    return msgspec.json.encode(found["event"]) if is_letter else text


def _print(letter: DeadLetter) -> None:
    of = f" of event {letter.event_id}" if letter.event_id else ""
    out.print(f"Dead letter {letter.id}{of}: {letter.state}.", markup=False, soft_wrap=True)
    out.print(f"Reason: {letter.reason}", markup=False, soft_wrap=True)
    where = "the whole chunk" if letter.position < 0 else f"event {letter.position}"
    request = f", request {letter.request_id}" if letter.request_id else ""
    out.print(f"From shard {letter.shard}, entry {letter.entry_id}, {where}{request}.", markup=False)
    for what, moment in (("Set aside", letter.created_at), ("Corrected", letter.fixed_at)):
        if moment is not None:
            out.print(f"{what} at {shown(moment)}.")
    if letter.replayed_at is not None:
        out.print(f"Replayed at {shown(letter.replayed_at)}.")
