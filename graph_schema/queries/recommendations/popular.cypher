// The most bought products on offer, for the time before the first release. Counts purchases by their
// number alone, refunded ones too, so that it reads the products and no purchase.
// mode: read
// params: limit
// columns: product_id
MATCH (product:Product)
WHERE NOT coalesce(product.hidden, false)
  AND coalesce(product.in_stock, true)
  AND coalesce(product.expires_at > datetime(), true)
WITH product, COUNT { (product)<-[:BOUGHT]-() } AS num_purchases
ORDER BY num_purchases DESC, product.id
LIMIT $limit
RETURN product.id AS product_id
