// What users of an arm did within the window from their first impression on: what they were shown, how many of these
// products they bought after it, and did not give back, for how much, and how many they dismissed. In the order of the
// users; one who is gone meanwhile has zeros. Moments are compared as milliseconds: of two equal ones in different
// zones Cypher calls one the later.
// mode: read
// params: batch
// columns: impressions, conversions, amounts, dismissals
UNWIND range(0, size($batch.user_ids) - 1) AS place
WITH place, $batch.user_ids[place] AS user_id, $batch.since_ms[place] AS since,
  $batch.since_ms[place] + $batch.window_ms AS until
CALL (user_id, since, until) {
  MATCH (user:User {id: user_id})-[i:IMPRESSED]->(product:Product)
  WHERE i.release_id = $batch.release_id AND since <= i.first_at.epochMillis < until
  WITH user, product, until, min(i.first_at.epochMillis) AS shown_at, sum(i.count) AS count
  CALL (user, product, shown_at, until) {
    MATCH (user)-[b:BOUGHT]->(product)
    WHERE shown_at <= b.at.epochMillis < until AND b.refunded_at IS NULL
    RETURN count(b) AS num_bought, sum(b.amount) AS amount
  }
  WITH count, num_bought, amount,
    EXISTS { (user)-[d:DISMISSED]->(product) WHERE shown_at <= d.at.epochMillis < until } AS is_dismissed
  RETURN sum(count) AS impressions, count(CASE WHEN num_bought > 0 THEN 1 END) AS conversions,
    sum(amount) AS amount, count(CASE WHEN is_dismissed THEN 1 END) AS dismissals
}
WITH place, impressions, conversions, amount, dismissals ORDER BY place
RETURN collect(impressions) AS impressions, collect(conversions) AS conversions,
  collect(toFloat(amount)) AS amounts, collect(dismissals) AS dismissals
