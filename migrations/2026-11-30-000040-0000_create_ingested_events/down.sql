SET LOCAL lock_timeout = '2s';

DROP TABLE ingest_dead_letters;
DROP FUNCTION drop_ingest_day;
DROP FUNCTION ensure_ingest_days;
DROP TABLE ingested_events;
