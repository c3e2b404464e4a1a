// The paths from a user to a product, the most direct first: the user's own purchases and through whom,
// streamers followed or watched who sell it, and users alike: those who share `min_shared` purchases and bought it.
// Purchases and watching are those of a window, follows those of now. From the path after `after` on
// ([rank, -strength, nodes], or null; the rank is the place of the kind of path in this order).
// mode: read
// params: user_id, product_id, since, until, min_shared, after, limit
// columns: path, nodes, relationships, strength
MATCH (user:User {id: $user_id}), (product:Product {id: $product_id})
CALL (user, product) {
  MATCH (user)-[bought:BOUGHT]->(product)
  WHERE bought.at >= $since AND bought.at < $until AND bought.refunded_at IS NULL
  OPTIONAL MATCH (streamer:Streamer {id: bought.streamer_id})
  WITH user, product, streamer, count(*) AS times
  WITH user, product, streamer, times, CASE times WHEN 1 THEN 'once' ELSE times + ' times' END AS how_often
  RETURN 0 AS rank, 'bought' AS path, times AS strength,
         CASE WHEN streamer IS NULL THEN [user.id, product.id] ELSE [user.id, streamer.id, product.id] END AS nodes,
         CASE WHEN streamer IS NULL THEN ['bought ' + how_often] ELSE ['bought ' + how_often + ' through', 'sold'] END
           AS relationships
  UNION ALL
  MATCH (user)-[:FOLLOWS]->(streamer:Streamer)-[sells:SELLS]->(product)
  RETURN 1 AS rank, 'followed streamer' AS path, sells.count AS strength,
         [user.id, streamer.id, product.id] AS nodes,
         ['follows', CASE sells.count WHEN 0 THEN 'sells it' WHEN 1 THEN 'showcased it once'
           ELSE 'showcased it ' + sells.count + ' times' END] AS relationships
  UNION ALL
  MATCH (user)-[watched:WATCHED]->(streamer:Streamer)
  WHERE watched.first_at >= $since AND watched.first_at < $until
  WITH user, product, streamer, sum(watched.seconds) AS seconds
  MATCH (streamer)-[sells:SELLS]->(product)
  RETURN 2 AS rank, 'watched streamer' AS path, seconds AS strength,
         [user.id, streamer.id, product.id] AS nodes,
         ['watched for ' + seconds + ' s',
          CASE sells.count WHEN 0 THEN 'sells it' WHEN 1 THEN 'showcased it once'
           ELSE 'showcased it ' + sells.count + ' times' END] AS relationships
  UNION ALL
  MATCH (user)-[mine:BOUGHT]->(shared:Product)
  WHERE shared <> product AND mine.at >= $since AND mine.at < $until AND mine.refunded_at IS NULL
  WITH DISTINCT user, product, shared
  LIMIT 1000
  MATCH (shared)<-[theirs:BOUGHT]-(other:User)
  WHERE other <> user AND theirs.at >= $since AND theirs.at < $until AND theirs.refunded_at IS NULL
  WITH DISTINCT product, user, shared, other
  LIMIT 10000
  MATCH (other)-[last:BOUGHT]->(product)
  WHERE last.at >= $since AND last.at < $until AND last.refunded_at IS NULL
  WITH user, product, other, collect(DISTINCT shared.id) AS shared_ids
  WHERE size(shared_ids) >= $min_shared
  RETURN 3 AS rank, 'user alike' AS path, size(shared_ids) AS strength,
         [user.id, shared_ids[0], other.id, product.id] AS nodes,
         ['bought it' + CASE size(shared_ids) WHEN 1 THEN '' ELSE ' and ' + (size(shared_ids) - 1) + ' more' END,
          'bought by', 'bought'] AS relationships
}
WITH * WHERE $after IS NULL OR [rank, -strength, nodes] > $after
RETURN path, nodes, relationships, strength
ORDER BY rank, strength DESC, nodes
LIMIT $limit
