// The audiences of a streamer: who follows now and began before the window's end, who watched, and who bought with
// the streamer, refunds left out: one record of lists.
// mode: read
// params: streamer_id, since, until, category
// columns: followers, watchers, buyers
MATCH (streamer:Streamer {id: $streamer_id})
CALL (streamer) {
  MATCH (user:User)-[followed:FOLLOWS]->(streamer)
  WHERE followed.at < $until
  RETURN collect(user.index) AS followers
}
CALL (streamer) {
  MATCH (user:User)-[watched:WATCHED]->(streamer)
  WHERE watched.first_at >= $since AND watched.first_at < $until
  RETURN collect(DISTINCT user.index) AS watchers
}
CALL (streamer) {
  MATCH (user:User)-[bought:BOUGHT]->(product:Product)
  USING INDEX bought:BOUGHT(streamer_id, at)
  WHERE bought.streamer_id = streamer.id AND bought.at >= $since AND bought.at < $until
    AND bought.refunded_at IS NULL
    AND ($category = '' OR EXISTS { (product)-[:IN]->(:Category {id: $category}) })
  RETURN collect(DISTINCT user.index) AS buyers
}
RETURN followers, watchers, buyers
