// Unique ids of the five kinds of nodes, and of a purchase for ever.
CREATE CONSTRAINT user_id IF NOT EXISTS FOR (n:User) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT streamer_id IF NOT EXISTS FOR (n:Streamer) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT product_id IF NOT EXISTS FOR (n:Product) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT stream_id IF NOT EXISTS FOR (n:Stream) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT category_id IF NOT EXISTS FOR (n:Category) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT user_index IF NOT EXISTS FOR (n:User) REQUIRE n.index IS UNIQUE;
CREATE CONSTRAINT streamer_index IF NOT EXISTS FOR (n:Streamer) REQUIRE n.index IS UNIQUE;
CREATE CONSTRAINT product_index IF NOT EXISTS FOR (n:Product) REQUIRE n.index IS UNIQUE;
CREATE CONSTRAINT bought_event_id IF NOT EXISTS FOR ()-[r:BOUGHT]-() REQUIRE r.event_id IS UNIQUE;
CREATE CONSTRAINT refund_purchase IF NOT EXISTS FOR (n:Refund) REQUIRE n.purchase_event_id IS UNIQUE;
CREATE CONSTRAINT minute_of_stream IF NOT EXISTS FOR (n:Minute) REQUIRE (n.stream_id, n.at) IS UNIQUE;
CREATE CONSTRAINT tombstone_user IF NOT EXISTS FOR (n:Tombstone) REQUIRE n.user_hash IS UNIQUE;
CREATE CONSTRAINT ingest_offset_shard IF NOT EXISTS FOR (n:IngestOffset) REQUIRE n.shard IS UNIQUE;
CREATE CONSTRAINT index_counter_label IF NOT EXISTS FOR (n:IndexCounter) REQUIRE n.label IS UNIQUE;
CREATE INDEX refund_user IF NOT EXISTS FOR (n:Refund) ON (n.user_id);
CREATE INDEX bought_at IF NOT EXISTS FOR ()-[r:BOUGHT]-() ON (r.at);
CREATE INDEX bought_streamer IF NOT EXISTS FOR ()-[r:BOUGHT]-() ON (r.streamer_id);
