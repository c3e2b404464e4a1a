// The greatest dense index of a product and of a user; −1 where there is none.
// mode: read
// params: -
// columns: products, users
OPTIONAL MATCH (p:Product) WHERE p.index >= 0
WITH p ORDER BY p.index DESC LIMIT 1
OPTIONAL MATCH (u:User) WHERE u.index >= 0
WITH p, u ORDER BY u.index DESC LIMIT 1
RETURN coalesce(p.index, -1) AS products, coalesce(u.index, -1) AS users
