// Whether the graph knows a user, a product, a streamer and a stream: it tells "nothing found" from "no such thing".
// mode: read
// params: user_id, product_id, streamer_id, stream_id
// columns: user_id, product_id, streamer_id, stream_id
RETURN EXISTS { (:User {id: $user_id}) } AS user_id,
       EXISTS { (:Product {id: $product_id}) } AS product_id,
       EXISTS { (:Streamer {id: $streamer_id}) } AS streamer_id,
       EXISTS { (:Stream {id: $stream_id}) } AS stream_id
