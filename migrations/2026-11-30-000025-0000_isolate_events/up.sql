-- Events that may have ended the process of an instance.
SET LOCAL lock_timeout = '2s';

ALTER TABLE deferred_events ADD COLUMN is_isolated boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN deferred_events.is_isolated IS
    'Whether an instance may have died while it attempted the event. Then the event is attempted alone, and attempts '
    'includes the attempt in progress.';
