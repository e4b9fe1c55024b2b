SET LOCAL lock_timeout = '2s';

DROP INDEX deferred_events_uncopied_idx;

ALTER TABLE deferred_events DROP COLUMN copied_at;
