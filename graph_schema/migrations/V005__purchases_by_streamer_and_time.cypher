// A streamer's purchases within a window, without a look at the others or at any relationship's time.
CREATE INDEX bought_streamer_at IF NOT EXISTS FOR ()-[r:BOUGHT]-() ON (r.streamer_id, r.at);
DROP INDEX bought_streamer IF EXISTS;
