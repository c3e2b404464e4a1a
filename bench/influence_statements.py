"""The influence queries as they are written first: what `bench.influence` compares with."""

LEADERBOARD = """
CALL () {
  MATCH (user:User)-[b:BOUGHT]->(product:Product)
  WHERE b.at >= $since AND b.at < $until AND b.streamer_id <> ''
    AND ($category = '' OR EXISTS { (product)-[:IN]->(:Category {id: $category}) })
  MATCH (streamer:Streamer {id: b.streamer_id})
  WITH streamer, user, [x IN collect(b) WHERE x.refunded_at IS NULL] AS kept,
       [x IN collect(b) WHERE x.refunded_at IS NOT NULL] AS back
  RETURN streamer, CASE WHEN size(kept) > 0 THEN 1 ELSE 0 END AS buyers, size(kept) AS purchases,
         reduce(sum = 0, x IN kept | sum + x.amount) AS amount,
         reduce(sum = 0, x IN kept | sum + x.quantity) AS items,
         size(back) AS refunds, reduce(sum = 0, x IN back | sum + x.amount) AS refunded_amount,
         CASE WHEN size(kept) > 1 THEN 1 ELSE 0 END AS repeating,
         CASE WHEN size(kept) > 0 AND EXISTS { (user)-[:FOLLOWS]->(streamer) } THEN 1 ELSE 0 END AS following,
         0 AS reach, 0 AS seconds, 0 AS views, 0 AS carts, 0 AS new_followers
  UNION ALL
  MATCH (user:User)-[w:WATCHED]->(streamer:Streamer)
  WHERE w.first_at >= $since AND w.first_at < $until
  RETURN streamer, 0 AS buyers, 0 AS purchases, 0 AS amount, 0 AS items, 0 AS refunds, 0 AS refunded_amount,
         0 AS repeating, 0 AS following, count(DISTINCT user) AS reach, sum(w.seconds) AS seconds, 0 AS views,
         0 AS carts, 0 AS new_followers
  UNION ALL
  MATCH (:User)-[v:VIEWED|CARTED]->(product:Product)
  WHERE v.first_at >= $since AND v.first_at < $until AND v.streamer_id <> ''
    AND ($category = '' OR EXISTS { (product)-[:IN]->(:Category {id: $category}) })
  MATCH (streamer:Streamer {id: v.streamer_id})
  RETURN streamer, 0 AS buyers, 0 AS purchases, 0 AS amount, 0 AS items, 0 AS refunds, 0 AS refunded_amount,
         0 AS repeating, 0 AS following, 0 AS reach, 0 AS seconds,
         sum(CASE type(v) WHEN 'VIEWED' THEN v.count ELSE 0 END) AS views,
         sum(CASE type(v) WHEN 'CARTED' THEN v.count ELSE 0 END) AS carts, 0 AS new_followers
  UNION ALL
  MATCH (:User)-[f:FOLLOWS]->(streamer:Streamer)
  WHERE f.at >= $since AND f.at < $until
  RETURN streamer, 0 AS buyers, 0 AS purchases, 0 AS amount, 0 AS items, 0 AS refunds, 0 AS refunded_amount,
         0 AS repeating, 0 AS following, 0 AS reach, 0 AS seconds, 0 AS views, 0 AS carts,
         count(f) AS new_followers
}
WITH streamer, sum(buyers) AS buyers, sum(purchases) AS purchases, sum(amount) AS amount, sum(items) AS items,
     sum(refunds) AS refunds, sum(refunded_amount) AS refunded_amount, sum(repeating) AS repeating,
     sum(following) AS following, sum(reach) AS reach, sum(seconds) AS watch_seconds, sum(views) AS views,
     sum(carts) AS carts, sum(new_followers) AS new_followers
WHERE buyers > 0
RETURN streamer.id AS streamer_id, coalesce(streamer.name, '') AS name, reach, watch_seconds, views,
       CASE WHEN reach > 0 THEN toFloat(views) / reach END AS click_rate, carts,
       CASE WHEN views > 0 THEN toFloat(carts) / views END AS view_to_cart,
       CASE WHEN carts > 0 THEN toFloat(purchases) / carts END AS cart_to_buy, buyers, purchases, amount,
       toFloat(amount) / purchases AS average_order, toFloat(items) / purchases AS items_per_order,
       new_followers,
       refunds, refunded_amount, amount + refunded_amount AS gmv, toFloat(repeating) / buyers AS repeat_rate,
       toFloat(following) / buyers AS share_of_buyers_who_follow
ORDER BY buyers DESC, purchases DESC, streamer_id
LIMIT $limit
"""

SPREAD = """
MATCH (user:User)-[r:VIEWED|CARTED|BOUGHT]->(product:Product)
WHERE product.id = $product_id
  AND coalesce(r.at, r.first_at) >= $since AND coalesce(r.at, r.first_at) < $until
OPTIONAL MATCH (streamer:Streamer {id: r.streamer_id})
WITH date(coalesce(r.at, r.first_at)) AS day, r.streamer_id AS streamer_id,
     coalesce(streamer.name, '') AS name,
     type(r) AS kind, r.refunded_at IS NULL AS is_kept, user, r
RETURN toString(day) AS day, streamer_id, name,
       sum(CASE kind WHEN 'VIEWED' THEN r.count ELSE 0 END) AS views,
       sum(CASE kind WHEN 'CARTED' THEN r.count ELSE 0 END) AS carts,
       count(DISTINCT CASE WHEN kind = 'BOUGHT' AND is_kept THEN user.id END) AS buyers,
       count(CASE WHEN kind = 'BOUGHT' AND is_kept THEN 1 END) AS purchases,
       sum(CASE WHEN kind = 'BOUGHT' AND is_kept THEN r.amount ELSE 0 END) AS amount,
       count(CASE WHEN kind = 'BOUGHT' AND NOT is_kept THEN 1 END) AS refunds,
       sum(CASE WHEN kind = 'BOUGHT' AND NOT is_kept THEN r.amount ELSE 0 END) AS refunded_amount
ORDER BY day, streamer_id
LIMIT $limit
"""

FUNNEL = """
MATCH (minute:Minute)
WHERE minute.stream_id = $stream_id AND minute.at >= $since AND minute.at < $until
  AND minute.num_joined + minute.num_views + minute.num_carts + minute.num_purchases > 0
RETURN toString(localdatetime(minute.at)) + 'Z' AS at, minute.num_joined AS joined, minute.num_views AS views,
       minute.num_carts AS carts, minute.num_purchases AS purchases
ORDER BY at
LIMIT $limit
"""

PRODUCT_STREAMERS = """
MATCH (product:Product {id: $product_id})<-[r:SELLS|BOUGHT]-(who)
WHERE type(r) = 'SELLS' OR (r.refunded_at IS NULL AND r.at >= $since AND r.at < $until)
WITH who, r, CASE type(r) WHEN 'SELLS' THEN who.id ELSE r.streamer_id END AS streamer_id
MATCH (streamer:Streamer {id: streamer_id})
WITH streamer, who, collect(CASE type(r) WHEN 'SELLS' THEN r END) AS sold,
     collect(CASE type(r) WHEN 'BOUGHT' THEN r END) AS made
WITH streamer, sum(size(sold)) AS sells, sum(reduce(sum = 0, x IN sold | sum + x.count)) AS showcases,
     count(CASE WHEN size(made) > 0 THEN 1 END) AS buyers, sum(size(made)) AS purchases,
     sum(reduce(sum = 0, x IN made | sum + x.amount)) AS amount,
     count(CASE WHEN size(made) > 0 AND EXISTS { (who)-[:FOLLOWS]->(streamer) } THEN 1 END) AS following
RETURN streamer.id AS streamer_id, coalesce(streamer.name, '') AS name, sells > 0 AS sells, showcases, buyers,
       purchases, amount,
       CASE WHEN buyers = 0 THEN 0.0 ELSE toFloat(following) / buyers END AS share_of_buyers_who_follow
ORDER BY buyers DESC, showcases DESC, streamer_id
LIMIT $limit
"""

INFLUENCERS = """
MATCH (user:User {id: $user_id})-[r:FOLLOWS|WATCHED|VIEWED|BOUGHT]->(what)
WHERE type(r) = 'FOLLOWS' OR (coalesce(r.at, r.first_at) >= $since AND coalesce(r.at, r.first_at) < $until)
WITH r, CASE WHEN what:Streamer THEN what.id ELSE r.streamer_id END AS streamer_id
MATCH (streamer:Streamer {id: streamer_id})
WITH streamer, type(r) AS kind, type(r) = 'BOUGHT' AND r.refunded_at IS NULL AS is_kept, r
WITH streamer, count(CASE kind WHEN 'FOLLOWS' THEN 1 END) > 0 AS follows,
     sum(CASE kind WHEN 'WATCHED' THEN r.seconds ELSE 0 END) AS watch_seconds,
     sum(CASE kind WHEN 'VIEWED' THEN r.count ELSE 0 END) AS views,
     count(CASE WHEN is_kept THEN 1 END) AS purchases,
     sum(CASE WHEN is_kept THEN r.amount ELSE 0 END) AS amount,
     count(CASE WHEN kind = 'BOUGHT' AND NOT is_kept THEN 1 END) AS refunds,
     max(CASE WHEN is_kept THEN r.at END) AS bought_at
RETURN streamer.id AS streamer_id, coalesce(streamer.name, '') AS name, follows, watch_seconds, views,
       purchases, amount, refunds, toString(localdatetime(bought_at)) + 'Z' AS last_bought_at
ORDER BY purchases DESC, amount DESC, watch_seconds DESC, views DESC, streamer_id
LIMIT $limit
"""

PATHS = """
CALL () {
  MATCH (user:User {id: $user_id})-[b:BOUGHT]->(product:Product {id: $product_id})
  WHERE b.refunded_at IS NULL
  RETURN 0 AS rank, 'bought' AS path, CASE b.streamer_id WHEN '' THEN [user.id, product.id]
         ELSE [user.id, b.streamer_id, product.id] END AS nodes, count(b) AS strength
  UNION ALL
  MATCH (user:User {id: $user_id})-[:FOLLOWS]->(streamer:Streamer)
        -[sells:SELLS]->(product:Product {id: $product_id})
  RETURN 1 AS rank, 'followed streamer' AS path, [user.id, streamer.id, product.id] AS nodes,
         sells.count AS strength
  UNION ALL
  MATCH (user:User {id: $user_id})-[w:WATCHED]->(streamer:Streamer)
        -[:SELLS]->(product:Product {id: $product_id})
  RETURN 2 AS rank, 'watched streamer' AS path, [user.id, streamer.id, product.id] AS nodes,
         sum(w.seconds) AS strength
  UNION ALL
  MATCH (user:User {id: $user_id})-[mine:BOUGHT]->(shared:Product)<-[theirs:BOUGHT]-(other:User)
        -[last:BOUGHT]->(product:Product {id: $product_id})
  WHERE shared <> product AND other <> user
    AND mine.refunded_at IS NULL AND theirs.refunded_at IS NULL AND last.refunded_at IS NULL
  RETURN 3 AS rank, 'user alike' AS path, [user.id, other.id, product.id] AS nodes,
         count(DISTINCT shared) AS strength
}
RETURN path, nodes, strength
ORDER BY rank, strength DESC, nodes
LIMIT $limit
"""

LAST_TOUCH = """
MATCH (user:User)-[b:BOUGHT]->(:Product)
WHERE b.at >= $since
CALL (user, b) {
  CALL (user) {
    MATCH (user)-[f:FOLLOWS]->(s:Streamer)
    RETURN f.at AS at, 0 AS kind, s
    UNION ALL
    MATCH (user)-[w:WATCHED]->(s:Streamer)
    RETURN w.first_at AS at, 1 AS kind, s
    UNION ALL
    MATCH (user)-[v:VIEWED]->(:Product)
    MATCH (s:Streamer {id: v.streamer_id})
    RETURN v.first_at AS at, 2 AS kind, s
    UNION ALL
    MATCH (user)-[e:ENGAGED]->(s:Streamer)
    RETURN e.first_at AS at, 3 AS kind, s
  }
  WITH at, kind, s
  WHERE at <= b.at AND at >= b.at - $window
  RETURN s
  ORDER BY at DESC, kind DESC, s.index DESC
  LIMIT 1
}
RETURN s.id AS streamer_id, count(CASE WHEN b.refunded_at IS NULL THEN 1 END) AS purchases
"""

LIFT = {
    "purchases": """
MATCH (u:User)-[b:BOUGHT]->(p:Product)
WHERE b.at >= $since AND b.at < $until AND b.refunded_at IS NULL
OPTIONAL MATCH (s:Streamer {id: b.streamer_id})
RETURN u.index AS user, p.index AS product, coalesce(s.index, -1) AS streamer, b.at.epochMillis AS at,
       b.amount AS amount, b.quantity AS quantity
""",
    "follows": """
MATCH (u:User)-[f:FOLLOWS]->(s:Streamer)
WHERE f.at < $until
RETURN u.index AS user, s.index AS streamer, -1 AS product, f.at.epochMillis AS at
""",
    "watched": """
MATCH (u:User)-[w:WATCHED]->(s:Streamer)
WHERE w.first_at >= $since AND w.first_at < $until
RETURN u.index AS user, s.index AS streamer, -1 AS product, w.first_at.epochMillis AS at
""",
    "viewed": """
MATCH (u:User)-[v:VIEWED]->(p:Product)
WHERE v.first_at >= $since AND v.first_at < $until
OPTIONAL MATCH (s:Streamer {id: v.streamer_id})
RETURN u.index AS user, coalesce(s.index, -1) AS streamer, p.index AS product, v.first_at.epochMillis AS at
""",
    "engaged": """
MATCH (u:User)-[e:ENGAGED]->(s:Streamer)
WHERE e.first_at >= $since AND e.first_at < $until
RETURN u.index AS user, s.index AS streamer, -1 AS product, e.first_at.epochMillis AS at
""",
}
"""A row a purchase and a row a touch, for the same estimate."""

CATEGORIES = """
MATCH (p:Product)-[:IN]->(c:Category)
RETURN p.index AS product, min(c.id) AS category
ORDER BY product
"""
STREAMER = "MATCH (s:Streamer {id: $id}) RETURN s.index AS row"
NUM_USERS = "MATCH (u:User) RETURN count(u) AS num"
