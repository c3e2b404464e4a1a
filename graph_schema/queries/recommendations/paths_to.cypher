// The best path from a user to each of some products, for those that have one: up to three followed streamers
// who sell it, else up to three watched ones with their seconds, else how many users alike bought it, with a
// product that one of them and the user bought. A refunded purchase is none.
// Dense nodes are read in part: 1,000 follows and 1,000 watchings of the user, 200 sellers and 200 buyers of a
// product, and 100 buyers of each of the latest 10 among 300 of the user's purchases. No limit comes after a
// sorting of more, so that it bounds what is read.
// mode: read
// params: asked
// columns: product_id, name, followed, watched, alike
MATCH (user:User {id: $asked.user_id})
CALL (user) {
  MATCH (user)-[:FOLLOWS]->(streamer)
  WITH streamer
  LIMIT 1000
  RETURN collect(streamer) AS followed
}
CALL (user) {
  MATCH (user)-[watching:WATCHED]->(streamer)
  WITH streamer, watching
  LIMIT 1000
  WITH streamer, sum(watching.seconds) AS seconds
  ORDER BY seconds DESC, streamer.id
  RETURN collect(streamer) AS watched, collect(seconds) AS watched_seconds
}
CALL (followed, watched, watched_seconds) {
  UNWIND $asked.product_ids AS product_id
  MATCH (product:Product {id: product_id})
  CALL (product, followed, watched) {
    MATCH (product)<-[sells:SELLS]-(streamer)
    WITH streamer, sells, followed, watched
    LIMIT 200
    WITH streamer, sells, followed, watched
    WHERE streamer IN followed OR streamer IN watched
    WITH streamer
    ORDER BY sells.count DESC, streamer.id
    RETURN collect(DISTINCT streamer) AS sellers
  }
  WITH product, sellers, watched, watched_seconds,
       [streamer IN sellers WHERE streamer IN followed][..3] AS followed_sellers
  WITH product, followed_sellers,
       CASE WHEN followed_sellers = [] THEN [place IN range(0, size(watched) - 1) WHERE watched[place] IN sellers
         | {streamer: watched[place], seconds: watched_seconds[place]}][..3] ELSE [] END AS watched_sellers
  RETURN collect({product: product, followed: followed_sellers, watched: watched_sellers}) AS shown
}
WITH user, shown, [row IN shown WHERE row.followed = [] AND row.watched = [] | row.product] AS products
CALL (user, products) {
  UNWIND CASE products WHEN [] THEN [] ELSE [user] END AS buyer
  MATCH (buyer)-[mine:BOUGHT]->(shared)
  WITH buyer, mine, shared, products
  LIMIT 300
  WITH buyer, mine, shared, products
  WHERE mine.refunded_at IS NULL
  WITH buyer, shared, products, max(mine.at) AS last_at
  ORDER BY last_at DESC
  LIMIT 10
  CALL (buyer, shared) {
    MATCH (shared)<-[theirs:BOUGHT]-(other)
    WITH buyer, other, theirs
    LIMIT 100
    WITH other, theirs
    WHERE other <> buyer AND theirs.refunded_at IS NULL
    RETURN other
  }
  WITH other, products, collect(DISTINCT shared)[..2] AS shared_products
  WITH products, collect(other) AS others, collect(shared_products) AS shared_of_others
  UNWIND products AS product
  CALL (product, others) {
    MATCH (product)<-[theirs:BOUGHT]-(other)
    WITH other, theirs, others
    LIMIT 200
    WITH other, theirs
    WHERE other IN others AND theirs.refunded_at IS NULL
    RETURN collect(other) AS buyers
  }
  WITH product, others, shared_of_others, buyers
  WHERE buyers <> []
  WITH product, [place IN range(0, size(others) - 1) WHERE others[place] IN buyers
                 | head([shared IN shared_of_others[place] WHERE shared <> product])] AS found
  WITH product, [shared IN found WHERE shared IS NOT NULL] AS found
  WHERE found <> []
  RETURN collect({product: product, num_users: size(found), shared: head(found)}) AS alike
}
UNWIND shown AS row
WITH row, head([found IN alike WHERE found.product = row.product]) AS found
WHERE row.followed <> [] OR row.watched <> [] OR found IS NOT NULL
RETURN row.product.id AS product_id, row.product.name AS name,
       [streamer IN row.followed | {id: streamer.id, name: streamer.name}] AS followed,
       [seller IN row.watched
         | {id: seller.streamer.id, name: seller.streamer.name, seconds: seller.seconds}] AS watched,
       CASE WHEN found IS NOT NULL THEN {num_users: found.num_users, id: found.shared.id,
         name: found.shared.name} END AS alike
