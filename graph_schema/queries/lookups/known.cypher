// Whether the graph knows a user and a product: it tells "nothing found" from "no such thing".
// mode: read
// params: user_id, product_id
// columns: is_user_known, is_product_known
RETURN EXISTS { (:User {id: $user_id}) } AS is_user_known,
       EXISTS { (:Product {id: $product_id}) } AS is_product_known
