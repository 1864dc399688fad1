-- Offsets that were lost before Trailhouse could read them: deleted, cut off, or gone with a topic
-- that was made again. One row when it is found, another when an operator accepts it.
CREATE TABLE IF NOT EXISTS gaps
(
    `kafka_cluster` LowCardinality(String) COMMENT 'id or configured name of the cluster',
    `kafka_topic` LowCardinality(String) COMMENT 'topic',
    `kafka_incarnation` LowCardinality(String) COMMENT 'topic id when the gap was found; empty where the broker has none',
    `kafka_partition` Int32 COMMENT 'partition' CODEC(ZSTD(1)),
    `first_offset` Int64 COMMENT 'first offset concerned, included' CODEC(Delta(8), ZSTD(1)),
    `last_offset` Int64 COMMENT 'last offset concerned, included; where reading stood, of a topic that was made again' CODEC(Delta(8), ZSTD(1)),
    `kind` LowCardinality(String) COMMENT 'deleted, truncated or recreated',
    `accepted` Bool COMMENT 'whether an operator has accepted it' CODEC(ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when ClickHouse took the row, milliseconds UTC; part of no token' CODEC(Delta(8), ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, first_offset)
SETTINGS
    non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800
COMMENT 'offsets that were lost before they could be read'
