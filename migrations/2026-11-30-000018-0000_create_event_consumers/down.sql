-- Instances of the version with this migration use the tables, so stop them first.
SET LOCAL lock_timeout = '2s';

DROP TABLE deferred_events;
DROP TABLE inbox;
DROP TABLE consumer_instances;
DROP TABLE consumer_partitions;
