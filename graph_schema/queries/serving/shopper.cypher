// What a user bought and did not give back, whom they follow, what they viewed and watched in the last 30 days,
// what they dismissed, and what they were shown in the last seven days and did not click since; the newest first.
// No row for an unknown user.
// mode: read
// params: asked
// columns: bought, followed, viewed, watched, dismissed, impressed, has_slate, newest_ms
MATCH (user:User {id: $asked.user_id})
WITH user, date() - duration('P30D') AS since, date() - duration('P7D') AS lately
WITH user,
  COLLECT {
    MATCH (user)-[b:BOUGHT]->(p:Product) WHERE b.refunded_at IS NULL
    WITH p, max(b.at) AS at ORDER BY at DESC, p.id LIMIT 1000
    RETURN p.id
  } AS bought,
  COLLECT {
    MATCH (user)-[f:FOLLOWS]->(s:Streamer)
    WITH s, f.at AS at ORDER BY at DESC, s.id LIMIT 500
    RETURN s.id
  } AS followed,
  COLLECT {
    MATCH (user)-[v:VIEWED|CARTED]->(p:Product) WHERE v.day >= since
    WITH p, sum(v.count) AS num, max(v.last_at) AS at ORDER BY at DESC, p.id LIMIT 100
    RETURN [p.id, num]
  } AS viewed,
  COLLECT {
    MATCH (user)-[w:WATCHED]->(s:Streamer) WHERE w.day >= since
    WITH s, sum(w.seconds) AS seconds, max(w.last_at) AS at ORDER BY at DESC, s.id LIMIT 100
    RETURN [s.id, seconds]
  } AS watched,
  COLLECT { MATCH (user)-[:DISMISSED]->(p:Product) RETURN p.id LIMIT 10000 } AS dismissed,
  COLLECT {
    MATCH (user)-[i:IMPRESSED]->(p:Product) WHERE i.day >= lately
    WITH user, p, sum(i.count) AS num, min(i.first_at) AS at
    WHERE num > 1 AND NOT EXISTS { MATCH (user)-[v:VIEWED|CARTED]->(p) WHERE v.last_at >= at }
    WITH p, num ORDER BY num DESC, p.id LIMIT 500
    RETURN [p.id, num]
  } AS impressed,
  EXISTS { (user)-[:HAS_SLATE]->(:Slate {release_id: $asked.release_id}) } AS has_slate,
  COLLECT {
    MATCH (user)-[r:FOLLOWS|UNFOLLOWED|VIEWED|CARTED|WATCHED]->()
    RETURN max(coalesce(r.last_at, r.at).epochMillis)
  } AS newest
RETURN bought, followed, viewed, watched, dismissed, impressed, has_slate, coalesce(head(newest), 0) AS newest_ms
