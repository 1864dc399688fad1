-- How far each log is stored, kept beside every part of batches: a feed asks it several times a
-- second, and the table has a row for every batch there ever was.
ALTER TABLE batches
    ADD PROJECTION IF NOT EXISTS reach
    (
        SELECT kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition,
               min(first_offset), max(last_offset)
        GROUP BY kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition
    )
