-- What became of quarantined rows that were replayed; the rows themselves stay. It is a fact drawn
-- from replays, events and quarantine, so it may stand here twice: any of its rows will do.
CREATE TABLE IF NOT EXISTS resolutions
(
    `kafka_cluster` LowCardinality(String) COMMENT 'position of the quarantined row: id or configured name of the cluster',
    `kafka_topic` LowCardinality(String) COMMENT 'position of the quarantined row: topic, @file/NAME or @replay/TOPIC',
    `kafka_incarnation` LowCardinality(String) COMMENT 'position of the quarantined row: topic id',
    `kafka_partition` Int32 COMMENT 'position of the quarantined row: partition' CODEC(ZSTD(1)),
    `kafka_offset` Int64 COMMENT 'position of the quarantined row: offset' CODEC(Delta(8), ZSTD(1)),
    `kafka_index` UInt32 COMMENT 'position of the quarantined row: place inside its record' CODEC(ZSTD(1)),
    `replay_topic` LowCardinality(String) COMMENT 'where it was replayed: @replay/TOPIC of the same cluster',
    `replay_incarnation` LowCardinality(String) COMMENT 'where it was replayed: empty',
    `replay_partition` Int32 COMMENT 'where it was replayed: 0' CODEC(ZSTD(1)),
    `replay_offset` Int64 COMMENT 'where it was replayed' CODEC(Delta(8), ZSTD(1)),
    `event_rows` UInt64 COMMENT 'rows there in events' CODEC(ZSTD(1)),
    `quarantined_rows` UInt64 COMMENT 'rows there in quarantine, which now stand for it; without any row of either a rule left it out, or it had been deleted' CODEC(ZSTD(1)),
    `mapping` LowCardinality(String) COMMENT 'mapping that made the first event; empty without one',
    `mapping_version` UInt16 COMMENT 'its version; 0 without one' CODEC(ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when ClickHouse took the row, milliseconds UTC' CODEC(Delta(8), ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, kafka_index)
COMMENT 'quarantined rows that were replayed, and where to'
