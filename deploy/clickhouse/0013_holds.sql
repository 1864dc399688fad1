-- Legal holds: what must not be retired. One row when a hold is placed, another with the same id when
-- it is released; a hold stands while there is no such row.
CREATE TABLE IF NOT EXISTS holds
(
    `id` UUID COMMENT 'the hold',
    `tenant` String COMMENT 'whose rows it keeps',
    `subject` String COMMENT 'whose actions, or what was done to whom; empty for everything of the tenant' CODEC(ZSTD(1)),
    `since` DateTime64(6, 'UTC') COMMENT 'keeps events from this time on, by occurred_at' CODEC(ZSTD(1)),
    `until` DateTime64(6, 'UTC') COMMENT 'keeps events before this time' CODEC(ZSTD(1)),
    `released` Bool COMMENT 'whether this row ends the hold',
    `reason` String COMMENT 'why it was placed, or released' CODEC(ZSTD(1)),
    `acted_by` String COMMENT 'who asked, in their own words' CODEC(ZSTD(1)),
    `clickhouse_user` String DEFAULT currentUser() COMMENT 'who asked, in ClickHouse''s words',
    `at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when ClickHouse took the row, milliseconds UTC' CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (tenant, id)
COMMENT 'legal holds'
