// What the graph holds of a release beside what its marks say; those of before there were marks have none.
// mode: read
// params: release_id
// columns: is_complete, is_collected, model, num_users, num_products, num_streamers, num_slates, slates, product_vectors, streamer_vectors
MATCH (r:Release {id: $release_id})
RETURN r.is_complete AS is_complete, r.collected_from_at IS NOT NULL AS is_collected, r.model AS model,
  r.num_users_written AS num_users, r.num_products_written AS num_products,
  r.num_streamers_written AS num_streamers, r.num_slates AS num_slates,
  COUNT { MATCH (s:Slate) WHERE s.release_id = r.id AND s.user_id IS NOT NULL } AS slates,
  COUNT { MATCH (v:Vector) WHERE v.release_id = r.id AND v.kind = 'product' AND v.item_id IS NOT NULL }
    AS product_vectors,
  COUNT { MATCH (v:Vector) WHERE v.release_id = r.id AND v.kind = 'streamer' AND v.item_id IS NOT NULL }
    AS streamer_vectors
