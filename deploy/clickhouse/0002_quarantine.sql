-- What could not become an event, kept byte for byte with the reason. One table partition, so that
-- a record's timestamp, which its producer chooses, cannot spread one block over many.
CREATE TABLE IF NOT EXISTS quarantine
(
    `kafka_cluster` LowCardinality(String) COMMENT 'position: id or configured name of the cluster',
    `kafka_topic` LowCardinality(String) COMMENT 'position: topic, @file/NAME or @replay/TOPIC',
    `kafka_incarnation` LowCardinality(String) COMMENT 'position: topic id, new when the topic is recreated; empty where the broker has none',
    `kafka_partition` Int32 COMMENT 'position: partition' CODEC(ZSTD(1)),
    `kafka_offset` Int64 COMMENT 'position: the record''s own offset' CODEC(Delta(8), ZSTD(1)),
    `kafka_index` UInt32 COMMENT 'position: place inside a record that fans out, from 0' CODEC(ZSTD(1)),
    `received_at` DateTime64(6, 'UTC') COMMENT 'timestamp of the Kafka record, microseconds UTC' CODEC(Delta(8), ZSTD(1)),
    `tenant` LowCardinality(String) COMMENT 'whose log it would have been; empty when unknown',
    `reason` LowCardinality(String) COMMENT 'stable code of the class of fault',
    `sentence` String COMMENT 'the thing, the place and what would mend it' CODEC(ZSTD(1)),
    `mapping` LowCardinality(String) COMMENT 'mapping that claimed the record; empty when none did',
    `key` String COMMENT 'the record''s key, as bytes; empty when absent' CODEC(ZSTD(1)),
    `headers` Map(LowCardinality(String), String) COMMENT 'the record''s headers, values as bytes' CODEC(ZSTD(1)),
    `raw` String COMMENT 'the bytes at fault: the payload, or the element''s slice' CODEC(ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when ClickHouse took the row, milliseconds UTC; part of no token or digest' CODEC(Delta(8), ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, kafka_index)
SETTINGS
    non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800
COMMENT 'records, or elements of records, that could not be normalised'
