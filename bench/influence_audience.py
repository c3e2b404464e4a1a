"""The views of an audience as they are written first, each a statement."""

import neo4j

from bench.influence_asks import Ask
from bench.influence_rows import Rows, asked_of, rows_of

OVERLAP = """
MATCH (each:User)
WITH count(each) AS num_users
CALL () {
  MATCH (user:User)-[f:FOLLOWS]->(s:Streamer)
  WHERE s.id IN [$streamer_id, $other_id] AND f.at < $until
  WITH user, collect(DISTINCT s.id) AS ids
  WITH collect(ids) AS sets
  RETURN 0 AS rank, 'followers' AS audience, sets
  UNION ALL
  MATCH (user:User)-[w:WATCHED]->(s:Streamer)
  WHERE s.id IN [$streamer_id, $other_id] AND w.first_at >= $since AND w.first_at < $until
  WITH user, collect(DISTINCT s.id) AS ids
  WITH collect(ids) AS sets
  RETURN 1 AS rank, 'watchers' AS audience, sets
  UNION ALL
  MATCH (user:User)-[b:BOUGHT]->(:Product)
  WHERE b.streamer_id IN [$streamer_id, $other_id] AND b.at >= $since AND b.at < $until
    AND b.refunded_at IS NULL
  WITH user, collect(DISTINCT b.streamer_id) AS ids
  WITH collect(ids) AS sets
  RETURN 2 AS rank, 'buyers' AS audience, sets
}
WITH num_users, rank, audience, size([ids IN sets WHERE $streamer_id IN ids]) AS users,
     size([ids IN sets WHERE $other_id IN ids]) AS other_users,
     size([ids IN sets WHERE size(ids) = 2]) AS shared
RETURN audience, users, other_users, shared AS shared_users,
       CASE WHEN shared > 0 THEN toFloat(shared) / (users + other_users - shared) ELSE 0.0 END AS jaccard,
       CASE WHEN shared > 0 THEN shared / sqrt(users * other_users) ELSE 0.0 END AS cosine,
       CASE WHEN users * other_users > 0 THEN toFloat(shared) * num_users / (users * other_users) END AS lift
ORDER BY rank
"""

NEAREST = """
MATCH (streamer:Streamer {id: $streamer_id})
CALL (streamer) {
  MATCH (user:User)-[w:WATCHED]->(streamer)
  WHERE w.first_at >= $since AND w.first_at < $until
  RETURN count(DISTINCT user) AS own
}
MATCH (streamer)<-[w:WATCHED]-(user:User)-[o:WATCHED]->(other:Streamer)
WHERE other <> streamer AND w.first_at >= $since AND w.first_at < $until
  AND o.first_at >= $since AND o.first_at < $until
WITH own, other, count(DISTINCT user) AS shared
CALL (other) {
  MATCH (user:User)-[w:WATCHED]->(other)
  WHERE w.first_at >= $since AND w.first_at < $until
  RETURN count(DISTINCT user) AS users
}
RETURN other.id AS streamer_id, coalesce(other.name, '') AS name,
       toFloat(shared) / (own + users - shared) AS similarity, shared AS shared_users, users
ORDER BY similarity DESC, streamer_id
LIMIT $limit
"""

BUYERS = """
MATCH (user:User)-[b:BOUGHT]->(:Product)
WHERE b.at >= $since AND b.at < $until AND b.refunded_at IS NULL AND b.streamer_id <> ''
WITH user, collect(DISTINCT b.streamer_id) AS ids, collect(b) AS made
WITH $streamer_id IN ids AS of_first, $other_id IN ids AS of_second, size(ids) = 1 AS is_loyal,
     [b IN made WHERE b.streamer_id IN [$streamer_id, $other_id]] AS theirs
WHERE size(theirs) > 0
UNWIND [
  [0, 'only_first', of_first AND NOT of_second],
  [1, 'only_second', of_second AND NOT of_first],
  [2, 'shared', of_first AND of_second],
  [3, 'loyal_to_first', of_first AND is_loyal],
  [4, 'loyal_to_second', of_second AND is_loyal]
] AS kind
WITH kind[0] AS rank, kind[1] AS group, CASE WHEN kind[2] THEN theirs ELSE [] END AS counted
RETURN group, count(CASE WHEN size(counted) > 0 THEN 1 END) AS buyers, sum(size(counted)) AS purchases,
       sum(reduce(sum = 0, b IN counted | sum + b.amount)) AS amount, rank
ORDER BY rank
"""

AT_RISK = """
MATCH (streamer:Streamer {id: $streamer_id})
OPTIONAL MATCH (streamer)-[:HOSTED]->(t:Stream)
WITH streamer, t.started_at AS began,
     coalesce(t.ended_at, CASE WHEN t.started_at + duration({days: 1}) < $until
                          THEN t.started_at + duration({days: 1}) ELSE $until END) AS ended
UNWIND [[$before_at, $since], [$since, $until]] AS part
WITH streamer, began, ended, part[0] AS part_since, part[1] AS part_until
WITH streamer, part_since, part_until,
     CASE WHEN began > part_since THEN began ELSE part_since END AS live_since,
     CASE WHEN ended < part_until THEN ended ELSE part_until END AS live_until
WITH streamer, part_since, toFloat(part_until.epochMillis - part_since.epochMillis) AS length,
     sum(CASE WHEN live_until > live_since
         THEN live_until.epochMillis - live_since.epochMillis ELSE 0 END) AS live
ORDER BY part_since
WITH streamer, collect(length) AS lengths, collect(live) AS lives
WITH streamer, lengths[1] / lengths[0] AS longer,
     CASE WHEN lives[0] > 0 THEN lives[1] / lengths[1] / (lives[0] / lengths[0]) ELSE 1.0 END AS pace
MATCH (user:User)-[f:FOLLOWS]->(streamer)
WHERE f.at < $since
OPTIONAL MATCH (user)-[w:WATCHED]->(streamer)
WITH user, longer, pace,
     sum(CASE WHEN w.first_at >= $before_at AND w.first_at < $since THEN w.seconds ELSE 0 END) AS before,
     sum(CASE WHEN w.first_at >= $since AND w.first_at < $until THEN w.seconds ELSE 0 END) AS recent
WITH user, before, recent, before * longer * pace AS expected
WHERE before >= $min_seconds AND expected > 0 AND recent <= 0.5 * expected
RETURN user.id AS user_id, before AS seconds_before, recent AS seconds_recent, expected AS seconds_expected
ORDER BY recent - expected, user_id
LIMIT $limit
"""


def at_risk(driver: neo4j.Driver, ask: Ask) -> Rows:
    """The followers who watch no more than half of what is expected of them."""
    known = asked_of(ask)
    before_at = known["since"] - (known["until"] - known["since"])
    return rows_of(driver, AT_RISK, known | {"before_at": before_at})
