SET LOCAL lock_timeout = '2s';

ALTER TABLE deferred_events ADD COLUMN copied_at timestamptz;

COMMENT ON COLUMN deferred_events.copied_at IS
    'When the dead letter was copied to the stream of dead letters in Redis; null until then and without Redis';

CREATE INDEX deferred_events_uncopied_idx ON deferred_events (id) WHERE dead_since IS NOT NULL AND copied_at IS NULL;
