-- Every Kafka record's events, each exactly once. Plain MergeTree: repeats are evidence, and with
-- FINAL no projection would be used.
CREATE TABLE IF NOT EXISTS events
(
    `id` UUID COMMENT 'UUIDv8 derived from content, or from the position; byte-identical repeats share it',
    `source_id` String COMMENT 'id exactly as the source wrote it; empty when absent' CODEC(ZSTD(1)),
    `tenant` LowCardinality(String) COMMENT 'whose log this is; every read is scoped by it',
    `schema` LowCardinality(String) COMMENT 'name of the mapping that made the row',
    `mapping_version` UInt16 COMMENT 'version in that mapping file' CODEC(ZSTD(1)),
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'when it happened, microseconds UTC; time_source says by whose clock' CODEC(Delta(8), ZSTD(1)),
    `received_at` DateTime64(6, 'UTC') COMMENT 'timestamp of the Kafka record, microseconds UTC' CODEC(Delta(8), ZSTD(1)),
    `time_source` Enum8('record' = 0, 'event' = 1) COMMENT 'whose clock occurred_at is' CODEC(ZSTD(1)),
    `service` LowCardinality(String) COMMENT 'system that emitted the event',
    `action` LowCardinality(String) COMMENT 'verb phrase as the source wrote it',
    `verb` Enum8('other' = 0, 'create' = 1, 'read' = 2, 'update' = 3, 'delete' = 4, 'login' = 5, 'logout' = 6, 'grant' = 7, 'revoke' = 8, 'execute' = 9) COMMENT 'action reduced to one of ten verbs' CODEC(ZSTD(1)),
    `outcome` Enum8('unknown' = 0, 'success' = 1, 'failure' = 2, 'pending' = 3) COMMENT 'how it ended' CODEC(ZSTD(1)),
    `reason` String COMMENT 'why it failed; empty when it did not' CODEC(ZSTD(1)),
    `actor_id` String COMMENT 'who: stable identifier' CODEC(ZSTD(1)),
    `actor_type` LowCardinality(String) COMMENT 'who: kind, in the source''s words',
    `actor_name` String COMMENT 'who: name for people' CODEC(ZSTD(1)),
    `actor_email` String COMMENT 'who: mail address' CODEC(ZSTD(1)),
    `actor_account_id` String COMMENT 'who: account the actor belongs to' CODEC(ZSTD(1)),
    `actor_account_name` String COMMENT 'who: name of that account' CODEC(ZSTD(1)),
    `target_id` String COMMENT 'main thing acted on: stable identifier' CODEC(ZSTD(1)),
    `target_type` LowCardinality(String) COMMENT 'main thing acted on: kind, in the source''s words',
    `target_name` String COMMENT 'main thing acted on: name for people' CODEC(ZSTD(1)),
    `targets` Array(Tuple(id String, type String, name String)) COMMENT 'all things acted on, when there are several' CODEC(ZSTD(1)),
    `origin` Enum8('unknown' = 0, 'user' = 1, 'api' = 2, 'system' = 3) COMMENT 'through what kind of door it came' CODEC(ZSTD(1)),
    `client_ip` IPv6 COMMENT 'where from; IPv4 is mapped, :: when absent' CODEC(ZSTD(1)),
    `user_agent` String COMMENT 'client program' CODEC(ZSTD(1)),
    `country` LowCardinality(String) COMMENT 'country, as the source has it',
    `region` LowCardinality(String) COMMENT 'region within the country or the cloud',
    `session_id` String COMMENT 'ties the event to a session' CODEC(ZSTD(1)),
    `request_id` String COMMENT 'ties the event to one request' CODEC(ZSTD(1)),
    `correlation_id` String COMMENT 'ties the event to others of one operation' CODEC(ZSTD(1)),
    `message` String COMMENT 'one line for people' CODEC(ZSTD(1)),
    `changes_old` String COMMENT 'JSON text of the state before; empty when absent' CODEC(ZSTD(1)),
    `changes_new` String COMMENT 'JSON text of the state after; empty when absent' CODEC(ZSTD(1)),
    `attributes` Map(LowCardinality(String), String) COMMENT 'scalars the columns do not hold, by dotted path' CODEC(ZSTD(1)),
    `raw` String COMMENT 'original bytes; of a record that fans out, the element''s exact slice' CODEC(ZSTD(1)),
    `kafka_cluster` LowCardinality(String) COMMENT 'position: id or configured name of the cluster',
    `kafka_topic` LowCardinality(String) COMMENT 'position: topic, @file/NAME or @replay/TOPIC',
    `kafka_incarnation` LowCardinality(String) COMMENT 'position: topic id, new when the topic is recreated; empty where the broker has none',
    `kafka_partition` Int32 COMMENT 'position: partition' CODEC(ZSTD(1)),
    `kafka_offset` Int64 COMMENT 'position: the record''s own offset' CODEC(Delta(8), ZSTD(1)),
    `kafka_index` UInt32 COMMENT 'position: place inside a record that fans out, from 0' CODEC(ZSTD(1)),
    `written_by` String COMMENT 'authenticated caller of a write endpoint' CODEC(ZSTD(1)),
    `headers` Map(LowCardinality(String), String) COMMENT 'what the write endpoint filled in, and the trace context' CODEC(ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when ClickHouse took the row, milliseconds UTC; part of no id, token or digest' CODEC(Delta(8), ZSTD(1)),

    INDEX by_id id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_source_id source_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_actor_id actor_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_target_id target_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_targets_id targets.id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_action action TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_request_id request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_correlation_id correlation_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_client_ip client_ip TYPE bloom_filter(0.01) GRANULARITY 1,

    -- Read-back, receipts and verify look up by position.
    PROJECTION by_position
    (
        SELECT _part_offset
        ORDER BY kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, kafka_index
    )
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant, occurred_at, id)
SETTINGS
    non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800
COMMENT 'audit events, one row for each event of each Kafka record'
