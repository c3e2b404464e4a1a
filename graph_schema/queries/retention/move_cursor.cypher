// Keeps how far the pruning is; a cursor that is behind the work only has it looked at again.
// mode: write
// params: horizon, step, start
// columns: -
MERGE (r:Retention {name: 'retention'})
SET r.horizon = $horizon, r.step = $step, r.start = $start
