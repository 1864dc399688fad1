-- Every act that ended rows, by retention or for a subject: one row for each tenant when it begins,
-- another when it is done. Nothing here is ever changed.
CREATE TABLE IF NOT EXISTS retirements
(
    `id` UUID COMMENT 'the act; retired.retirement names it',
    `kind` LowCardinality(String) COMMENT 'retention or erasure',
    `standing` LowCardinality(String) COMMENT 'begun or done; an act without the latter was cut off, and may be asked for again',
    `tenant` String COMMENT 'whose rows; empty for quarantined rows of no known tenant',
    `before` DateTime64(6, 'UTC') COMMENT 'retention: rows older than this; 1970 for an erasure' CODEC(ZSTD(1)),
    `subject_sha256` String COMMENT 'erasure: SHA-256 of tenant, a zero byte and the subject, lower-case hex; empty for retention' CODEC(ZSTD(1)),
    `form` LowCardinality(String) COMMENT 'what became of events: deleted or redacted; quarantined rows are always deleted',
    `reason` String COMMENT 'why, in the words of who asked' CODEC(ZSTD(1)),
    `acted_by` String COMMENT 'who asked, in their own words' CODEC(ZSTD(1)),
    `clickhouse_user` String DEFAULT currentUser() COMMENT 'who asked, in ClickHouse''s words',
    `event_rows` UInt64 COMMENT 'rows of events: due when it began, retired when it was done' CODEC(ZSTD(1)),
    `quarantined_rows` UInt64 COMMENT 'rows of quarantine, likewise' CODEC(ZSTD(1)),
    `held_rows` UInt64 COMMENT 'rows of both that a legal hold kept' CODEC(ZSTD(1)),
    `at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when ClickHouse took the row, milliseconds UTC' CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (at, id)
COMMENT 'acts of retention and erasure'
