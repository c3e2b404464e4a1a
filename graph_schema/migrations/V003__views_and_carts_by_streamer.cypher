// What users viewed and carted with a streamer. Of the keys alone, which never change: counting on touches no index.
CREATE INDEX viewed_streamer IF NOT EXISTS FOR ()-[r:VIEWED]-() ON (r.streamer_id, r.day);
CREATE INDEX carted_streamer IF NOT EXISTS FOR ()-[r:CARTED]-() ON (r.streamer_id, r.day);
