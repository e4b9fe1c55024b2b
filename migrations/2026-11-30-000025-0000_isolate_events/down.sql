-- Instances of the version with this migration read the column, so stop them first.
SET LOCAL lock_timeout = '2s';

ALTER TABLE deferred_events DROP COLUMN is_isolated;
