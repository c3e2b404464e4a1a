// The next release, in the order of ids, that there are slates of: step by step it names all without a scan.
// mode: read
// params: after
// columns: release_id
MATCH (s:Slate)
WHERE s.release_id > $after AND s.user_id IS NOT NULL
RETURN s.release_id AS release_id
ORDER BY release_id
LIMIT 1
