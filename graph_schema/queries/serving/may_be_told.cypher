// Which of some users have a slate of a release, which an erasure takes from them for good; and who bought a product
// (a refunded purchase is none) or dismissed it: one record of two lists.
// mode: read
// params: release_id, product_id, user_ids
// columns: user_ids, gone_ids
CALL () {
  MATCH (:Product {id: $product_id})<-[r:BOUGHT|DISMISSED]-(user:User)
  WHERE r.refunded_at IS NULL
  RETURN collect(DISTINCT user.id) AS gone_ids
}
CALL () {
  UNWIND $user_ids AS user_id
  MATCH (:Slate {release_id: $release_id, user_id: user_id})
  RETURN collect(user_id) AS user_ids
}
RETURN user_ids, gone_ids
