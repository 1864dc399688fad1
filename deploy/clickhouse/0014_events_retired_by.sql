-- Which act redacted a row; zero for a row as it was stored. No record can fill it in, so a payload
-- that looks like the mark of a redaction is never taken for one.
ALTER TABLE events
    ADD COLUMN IF NOT EXISTS `retired_by` UUID COMMENT 'act that redacted the row, a row of retirements; zero for none' CODEC(ZSTD(1))
