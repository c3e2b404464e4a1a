// How far the pruning is: the day before which it prunes, the step, and where in it. No row before the first.
// mode: read
// params: -
// columns: horizon, step, start
MATCH (r:Retention {name: 'retention'})
RETURN r.horizon AS horizon, r.step AS step, r.start AS start
