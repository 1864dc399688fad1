-- One row for each batch: what receipts name and verify walks.
CREATE TABLE IF NOT EXISTS batches
(
    `kafka_cluster` LowCardinality(String) COMMENT 'id or configured name of the cluster',
    `kafka_topic` LowCardinality(String) COMMENT 'topic, @file/NAME or @replay/TOPIC',
    `kafka_incarnation` LowCardinality(String) COMMENT 'topic id, new when the topic is recreated; empty where the broker has none',
    `kafka_partition` Int32 COMMENT 'partition' CODEC(ZSTD(1)),
    `first_offset` Int64 COMMENT 'first offset of the range, included' CODEC(Delta(8), ZSTD(1)),
    `last_offset` Int64 COMMENT 'last offset of the range, included' CODEC(Delta(8), ZSTD(1)),
    `event_rows` UInt64 COMMENT 'rows of the range in events' CODEC(ZSTD(1)),
    `quarantined_rows` UInt64 COMMENT 'rows of the range in quarantine' CODEC(ZSTD(1)),
    `skipped` Array(Tuple(rule String, offset Int64, index UInt32)) COMMENT 'records, or elements, that a rule left out' CODEC(ZSTD(1)),
    `empty_ranges` Array(Tuple(first Int64, last Int64)) COMMENT 'offset ranges that held no record, both ends included' CODEC(ZSTD(1)),
    `mapping_versions` Array(Tuple(mapping String, version UInt16)) COMMENT 'mappings that made the rows' CODEC(ZSTD(1)),
    `token` String COMMENT 'insert_deduplication_token of the events block' CODEC(ZSTD(1)),
    `digest` FixedString(32) COMMENT 'SHA-256 over the records'' digests, in offset order',
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when ClickHouse took the row, milliseconds UTC; part of no token or digest' CODEC(Delta(8), ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, first_offset)
SETTINGS
    non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800
COMMENT 'contiguous offset ranges that were stored as a whole'
