-- Which quarantined row stands at which offset of its topic's replay lane: written before anything is
-- replayed, so that a replay that is made again after a crash makes the same rows.
CREATE TABLE IF NOT EXISTS replays
(
    `kafka_cluster` LowCardinality(String) COMMENT 'lane and origin: id or configured name of the cluster',
    `kafka_topic` LowCardinality(String) COMMENT 'lane: @replay/TOPIC',
    `kafka_incarnation` LowCardinality(String) COMMENT 'lane: empty, for a lane is never made again',
    `kafka_partition` Int32 COMMENT 'lane: 0' CODEC(ZSTD(1)),
    `kafka_offset` Int64 COMMENT 'lane: where the row is replayed' CODEC(Delta(8), ZSTD(1)),
    `first_offset` Int64 COMMENT 'lane: first offset of the plan; rows that share it are one plan, and one batch' CODEC(Delta(8), ZSTD(1)),
    `origin_topic` LowCardinality(String) COMMENT 'position of the quarantined row: topic, which may be a lane itself',
    `origin_incarnation` LowCardinality(String) COMMENT 'position of the quarantined row: topic id',
    `origin_partition` Int32 COMMENT 'position of the quarantined row: partition' CODEC(ZSTD(1)),
    `origin_offset` Int64 COMMENT 'position of the quarantined row: offset' CODEC(Delta(8), ZSTD(1)),
    `origin_index` UInt32 COMMENT 'position of the quarantined row: place inside its record' CODEC(ZSTD(1)),
    `planned_by` String COMMENT 'process that planned it' CODEC(ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when ClickHouse took the row, milliseconds UTC; part of no token' CODEC(Delta(8), ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, kafka_offset)
SETTINGS
    non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800
COMMENT 'plans of replays: each quarantined row at most once'
