"""Seeds as one chooses them first: rows one by one, each streamer's gain worked out anew for every place."""

from collections import defaultdict
from itertools import accumulate

import neo4j

from bench.influence_asks import Ask
from bench.influence_rows import Rows, asked_of, rows_of
from bench.influence_statements import LIFT
from lsec.influence.seeds import FOLLOW_REACH

Reach = dict[int, dict[int, float]]
"""The probability of reaching each user, by streamer."""

VISITS = """
MATCH (u:User)-[w:WATCHED]->(s:Streamer)
WHERE w.first_at >= $since AND w.first_at < $until AND w.stream_id <> ''
RETURN u.index AS user, s.index AS streamer, w.stream_id AS stream
"""
STREAMS = """
MATCH (s:Streamer)-[:HOSTED]->(t:Stream)
WHERE t.started_at >= $since AND t.started_at < $until
RETURN s.index AS streamer, t.id AS stream
"""
BUYERS = """
MATCH (u:User)-[b:BOUGHT]->(:Product {id: $product_id})
WHERE b.refunded_at IS NULL
RETURN u.index AS user
"""


def seeds(driver: neo4j.Driver, ask: Ask) -> Rows:
    """The streamers chosen for a product, one for each place."""
    known = asked_of(ask)
    follows, visits, streams, bought = (
        rows_of(driver, statement, known) for statement in (LIFT["follows"], VISITS, STREAMS, BUYERS)
    )
    buyers = {row["user"] for row in bought}
    reach = {
        streamer: {user: chance for user, chance in of_users.items() if user not in buyers}
        for streamer, of_users in reach_of(follows, visits, streams).items()
    }
    gains = greedy_gains(reach, ask["k"])
    return [
        {"marginal_reach": gain, "total_reach": total}
        for gain, total in zip(gains, accumulate(gains), strict=True)
    ]


def reach_of(follows: Rows, visits: Rows, streams: Rows) -> Reach:
    """How likely a next stream reaches each follower and each watcher."""
    seen: dict[tuple[int, int], set[str]] = defaultdict(set)
    hosted: dict[int, set[str]] = defaultdict(set)
    for row in streams:
        hosted[row["streamer"]].add(row["stream"])
    for row in visits:
        hosted[row["streamer"]].add(row["stream"])
        seen[row["streamer"], row["user"]].add(row["stream"])
    followed = {(row["streamer"], row["user"]) for row in follows}
    reach: Reach = defaultdict(dict)
    for streamer, user in followed | seen.keys():
        num_seen = len(seen.get((streamer, user), ()))
        missed = 1 - num_seen / (len(hosted[streamer]) + 1)
        missed *= 1 - FOLLOW_REACH if (streamer, user) in followed else 1
        reach[streamer][user] = 1 - missed
    return reach


def greedy_gains(reach: Reach, num: int) -> list[float]:
    """The users whom each of the best streamers reaches beside those before."""
    missed: dict[int, float] = {}
    left = dict(reach)
    found: list[float] = []
    while left and len(found) < num:
        gains = {
            streamer: sum(missed.get(user, 1.0) * chance for user, chance in of_users.items())
            for streamer, of_users in left.items()
        }
        best = max(gains, key=gains.__getitem__)
        if gains[best] <= 0:
            break
        found.append(gains[best])
        for user, chance in left.pop(best).items():
            missed[user] = missed.get(user, 1.0) * (1 - chance)
    return found
