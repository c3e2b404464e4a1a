// A streamer's followers, what anybody watched of the streamer within a window, and when the streamer was live: one
// record of lists. Followers are those of now who began before a time; a stream without an end has -1.
// mode: read
// params: streamer_id, followed_until, since, until
// columns: follower, follower_id, watcher, at, seconds, started_at, ended_at
MATCH (streamer:Streamer {id: $streamer_id})
CALL (streamer) {
  MATCH (user:User)-[followed:FOLLOWS]->(streamer)
  WHERE followed.at < $followed_until
  WITH user.index AS index, user.id AS id
  WHERE index IS NOT NULL AND id IS NOT NULL
  RETURN collect(index) AS follower, collect(id) AS follower_id
}
CALL (streamer) {
  MATCH (user:User)-[watched:WATCHED]->(streamer)
  WHERE watched.first_at >= $since AND watched.first_at < $until
  WITH user.index AS index, watched.first_at.epochMillis AS at, watched.seconds AS seconds
  WHERE index IS NOT NULL AND at IS NOT NULL AND seconds IS NOT NULL
  RETURN collect(index) AS watcher, collect(at) AS at, collect(seconds) AS seconds
}
CALL (streamer) {
  MATCH (streamer)-[:HOSTED]->(stream:Stream)
  WHERE stream.started_at < $until AND (stream.ended_at IS NULL OR stream.ended_at > $since)
  WITH stream.started_at.epochMillis AS started_at, coalesce(stream.ended_at.epochMillis, -1) AS ended_at
  WHERE started_at IS NOT NULL
  RETURN collect(started_at) AS started_at, collect(ended_at) AS ended_at
}
RETURN follower, follower_id, watcher, at, seconds, started_at, ended_at
