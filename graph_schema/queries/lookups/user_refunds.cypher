// A user's refunds, also those whose purchase is not in the graph.
// mode: read
// params: user_id
// columns: refund
MATCH (refund:Refund {user_id: $user_id})
RETURN properties(refund) AS refund
