// How many users, products and streamers of a release are written; no row if it is being collected, or gone.
// mode: read
// params: release_id
// columns: users, products, streamers
MATCH (r:Release {id: $release_id})
WHERE r.collected_from_at IS NULL
RETURN r.num_users_written AS users, r.num_products_written AS products, r.num_streamers_written AS streamers
