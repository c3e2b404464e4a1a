"""Commands that fetch what the release serves: recommendations first of all."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from lsec.cli.options import DEFAULT_URL, Json, Key, Url, connect
from lsec.cli.output import err, print_json, print_line, print_table
from lsec.client import Client
from lsec.client.serving_answers import (
    ProductAudience,
    Recommendation,
    Recommendations,
    SessionEvent,
    ShowcaseNext,
    SimilarProducts,
    StreamersToFollow,
)
from lsec.client.serving_routes import Wish

PANEL = "Models"
USERS_PER_REQUEST = 100

MaxProducts = Annotated[int, typer.Option("-k", min=1, max=100, help="How many products.")]
Explain = Annotated[bool, typer.Option("--explain/--no-explain", help="With the reason for each.")]
Stream = Annotated[str, typer.Option("--stream", metavar="ID", help="Only what this stream showcases.")]
Streamer = Annotated[str, typer.Option("--streamer", metavar="ID", help="Only what this streamer sells.")]
Category = Annotated[str, typer.Option("--category", metavar="ID", help="Only products of this category.")]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="ID", help="Not this product; may be given again.")
]
OutOfStock = Annotated[bool, typer.Option("--out-of-stock", help="Also what is out of stock.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command, name, example in (
        (recommend, "recommend", "lsec recommend user-1 user-2 -k 5 --json"),
        (similar, "similar", "lsec similar product-12 --category beauty"),
        (streamers_for, "streamers-for", "lsec streamers-for user-1 -k 5"),
        (audience, "audience", "lsec audience product-12 -k 1000 --json"),
        (showcase_next, "showcase-next", "lsec showcase-next stream-3"),
    ):
        app.command(name, rich_help_panel=PANEL, epilog=f"Example: {example}")(command)


def recommend(
    users: Annotated[list[str] | None, typer.Argument(help="Ids of users.")] = None,
    *,
    k: MaxProducts = 10,
    stream: Stream = "",
    streamer: Streamer = "",
    category: Category = "",
    exclude: Exclude = None,
    out_of_stock: OutOfStock = False,
    include_bought: Annotated[
        bool, typer.Option("--include-bought", help="Also what the user has bought already.")
    ] = False,
    diversity: Annotated[
        float, typer.Option(min=0, max=1, help="0: by score alone; 1: as unlike each other as can be.")
    ] = 0.0,
    explain: Explain = True,
    viewed: Annotated[
        list[str] | None,
        typer.Option(metavar="PRODUCT", help="In place of users: a visitor viewed it; may be given again."),
    ] = None,
    bought: Annotated[list[str] | None, typer.Option(metavar="PRODUCT", help="...bought it.")] = None,
    watched: Annotated[list[str] | None, typer.Option(metavar="STREAMER", help="...watched them.")] = None,
    followed: Annotated[list[str] | None, typer.Option(metavar="STREAMER", help="...follows them.")] = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """What users should see, with the reason for each product. `--json` prints one line a user.

    With --viewed, --bought, --watched or --followed and no users: what a visitor without an id should see.
    """
    events = _events(viewed, bought, watched, followed)
    if bool(users) == bool(events):
        raise typer.BadParameter("Give users, or what a visitor did.", param_hint="USERS")
    wish: Wish = {
        "k": k,
        "exclude": exclude or [],
        "in_stock": not out_of_stock,
        "include_bought": include_bought,
        "diversity": diversity,
    }
    narrow: Wish = {"stream_id": stream, "streamer_id": streamer, "category": category}
    with connect(url, key) as client:
        for answer in _answers(client, users or [], events, narrow | wish, explain=explain):
            _warn(answer.degraded)
            if as_json:
                print_line(answer)
            else:
                show(answer)


def similar(
    product: Annotated[str, typer.Argument(help="Id of a product.")],
    *,
    k: MaxProducts = 10,
    category: Category = "",
    streamer: Streamer = "",
    exclude: Exclude = None,
    out_of_stock: OutOfStock = False,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Products like one, by the vectors of the active release."""
    with connect(url, key) as client:
        answer = client.similar_products(
            product,
            k=k,
            category=category or None,
            streamer_id=streamer or None,
            in_stock=not out_of_stock,
            exclude=exclude or (),
        )
    if _is_told(answer, as_json=as_json):
        return
    _show_products(f"like {answer.product_id}", answer.release_id, answer.products)


def streamers_for(
    user: Annotated[str, typer.Argument(help="Id of a user.")],
    *,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many streamers.")] = 10,
    explain: Explain = True,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Streamers whom a user might follow, and does not yet."""
    with connect(url, key) as client:
        answer = client.streamers_to_follow(user, k=k, explain=explain)
    if _is_told(answer, as_json=as_json):
        return
    print_table(
        f"for {answer.user_id} to follow · {_release(answer.release_id)}",
        ("streamer", "score", "source", "followers", "because"),
        [
            (s.streamer_id, s.score, s.source, s.num_followers, s.reason.text if s.reason else "")
            for s in answer.streamers
        ],
    )


def audience(
    product: Annotated[str, typer.Argument(help="Id of a product.")],
    *,
    k: Annotated[int, typer.Option("-k", min=1, max=10_000, help="How many users.")] = 100,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Users to tell of a product, who did not buy it: those whom it suits best."""
    with connect(url, key) as client:
        answer = client.product_audience(product, k=k)
    if _is_told(answer, as_json=as_json):
        return
    print_table(
        f"audience of {answer.product_id} · {answer.source} · {_release(answer.release_id)}",
        ("user", "score"),
        [(user.user_id, user.score) for user in answer.users],
    )


def showcase_next(
    stream: Annotated[str, typer.Argument(help="Id of a stream that goes on.")],
    *,
    k: MaxProducts = 5,
    present: Annotated[
        int, typer.Option(min=1, max=1440, help="Present is who watched within so many minutes.")
    ] = 10,
    not_shown: Annotated[
        int, typer.Option(min=0, max=1440, help="Not what was shown within so many minutes.")
    ] = 30,
    category: Category = "",
    exclude: Exclude = None,
    out_of_stock: OutOfStock = False,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """What the host of a stream should show next to those who watch it now."""
    with connect(url, key) as client:
        answer = client.showcase_next(
            stream,
            k=k,
            present_minutes=present,
            not_shown_minutes=not_shown,
            category=category or None,
            in_stock=not out_of_stock,
            exclude=exclude or (),
        )
    if _is_told(answer, as_json=as_json):
        return
    title = f"{answer.streamer_id} in {answer.stream_id} · {answer.num_present} present"
    _show_products(title, answer.release_id, answer.products)


def show(answer: Recommendations) -> None:
    """Prints one user's recommendations."""
    print_table(
        f"{answer.user_id or 'visitor'} · {answer.source} · {_release(answer.release_id)}",
        ("product", "score", "source", "because"),
        [
            (each.product_id, each.score, each.source, each.reason.text if each.reason else "")
            for each in answer.products
        ],
    )


def _answers(
    client: Client, users: Sequence[str], events: Sequence[SessionEvent], wish: Wish, *, explain: bool
) -> Iterator[Recommendations]:
    if events:
        yield client.session_recommendations(events, explain=explain, **wish)
    elif len(users) == 1:
        yield client.recommendations(users[0], explain=explain, **wish)
    else:
        for start in range(0, len(users), USERS_PER_REQUEST):
            part = users[start : start + USERS_PER_REQUEST]
            batch = client.recommendations_of_many(part, explain=explain, **wish)
            _warn(batch.degraded)
            yield from batch.recommendations


def _events(
    viewed: list[str] | None,
    bought: list[str] | None,
    watched: list[str] | None,
    followed: list[str] | None,
) -> list[SessionEvent]:
    return [
        *(SessionEvent(type="user.viewed", product_id=id_) for id_ in viewed or ()),
        *(SessionEvent(type="user.bought", product_id=id_) for id_ in bought or ()),
        *(SessionEvent(type="user.watched", streamer_id=id_) for id_ in watched or ()),
        *(SessionEvent(type="user.followed", streamer_id=id_) for id_ in followed or ()),
    ]


def _show_products(title: str, release_id: str | None, products: Sequence[Recommendation]) -> None:
    print_table(
        f"{title} · {_release(release_id)}",
        ("product", "score", "source"),
        [(each.product_id, each.score, each.source) for each in products],
    )


def _release(release_id: str | None) -> str:
    return f"release {release_id}" if release_id else "no release yet"


def _is_told(
    answer: SimilarProducts | StreamersToFollow | ProductAudience | ShowcaseNext, *, as_json: bool
) -> bool:
    """Says what was away, and prints the answer if it is to be JSON; whether it was."""
    _warn(answer.degraded)
    if as_json:
        print_json(answer)
    return as_json


def _warn(degraded: Sequence[str]) -> None:
    if degraded:
        err.print(f"Answered without: {', '.join(degraded)}.", markup=False)
