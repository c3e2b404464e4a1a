// Users who were shown something of two releases since a moment, with when they were first, by release: -1 for
// not at all. An impression's first moment is that of its day: so of one who was shown something earlier on that
// first day, what they were shown on it is left out, in both arms alike.
// mode: read
// params: champion_id, challenger_id, since
// columns: user_ids, champion_ms, challenger_ms
MATCH (user:User)-[i:IMPRESSED]->()
WHERE i.release_id IN [$champion_id, $challenger_id] AND i.day >= date($since)
WITH user, i.release_id = $champion_id AS is_champion, i.day > date($since) AS is_later,
  i.first_at.epochMillis AS first_ms
WITH user, min(first_ms) < datetime($since).epochMillis AS was_seen_before,
  min(CASE WHEN is_champion THEN first_ms END) AS champion,
  min(CASE WHEN is_champion AND is_later THEN first_ms END) AS later_champion,
  min(CASE WHEN NOT is_champion THEN first_ms END) AS challenger,
  min(CASE WHEN NOT is_champion AND is_later THEN first_ms END) AS later_challenger
WITH user.id AS user_id, CASE WHEN was_seen_before THEN later_champion ELSE champion END AS champion,
  CASE WHEN was_seen_before THEN later_challenger ELSE challenger END AS challenger
WHERE user_id IS NOT NULL AND (champion IS NOT NULL OR challenger IS NOT NULL)
RETURN collect(user_id) AS user_ids, collect(coalesce(champion, -1)) AS champion_ms,
  collect(coalesce(challenger, -1)) AS challenger_ms
