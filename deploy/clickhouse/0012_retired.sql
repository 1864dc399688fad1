-- Rows that were ended, by position, with the digest of their bytes: what verify, receipts and
-- read-back know of them. Written before a row is ended; an act that is cut off and asked for again
-- names it twice, and any of its rows will do.
CREATE TABLE IF NOT EXISTS retired
(
    `kafka_cluster` LowCardinality(String) COMMENT 'position: id or configured name of the cluster',
    `kafka_topic` LowCardinality(String) COMMENT 'position: topic, @file/NAME or @replay/TOPIC',
    `kafka_incarnation` LowCardinality(String) COMMENT 'position: topic id',
    `kafka_partition` Int32 COMMENT 'position: partition' CODEC(ZSTD(1)),
    `kafka_offset` Int64 COMMENT 'position: the record''s own offset' CODEC(Delta(8), ZSTD(1)),
    `kafka_index` UInt32 COMMENT 'position: place inside a record that fans out, from 0' CODEC(ZSTD(1)),
    `place` Enum8('events' = 0, 'quarantine' = 1) COMMENT 'table it was in' CODEC(ZSTD(1)),
    `form` Enum8('deleted' = 0, 'redacted' = 1) COMMENT 'what became of it' CODEC(ZSTD(1)),
    `tenant` LowCardinality(String) COMMENT 'whose it was; empty when unknown',
    `id` UUID COMMENT 'id of the event; zero for a quarantined row' CODEC(ZSTD(1)),
    `digest` FixedString(32) COMMENT 'SHA-256 of its raw bytes as they were stored',
    `retirement` UUID COMMENT 'the act, a row of retirements' CODEC(ZSTD(1)),
    `step` UInt32 COMMENT 'which of the act''s mutations' CODEC(ZSTD(1)),
    `at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when ClickHouse took the row, milliseconds UTC' CODEC(Delta(8), ZSTD(1)),

    INDEX by_retirement retirement TYPE set(16) GRANULARITY 4
)
ENGINE = MergeTree
ORDER BY (kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, kafka_index)
COMMENT 'rows that were retired: position and digest'
