// What users were shown of a release since a day. Of the keys alone, which never change: counting on touches no index.
CREATE INDEX impressed_release IF NOT EXISTS FOR ()-[r:IMPRESSED]-() ON (r.release_id, r.day);
