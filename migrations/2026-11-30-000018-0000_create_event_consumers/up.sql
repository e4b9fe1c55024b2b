-- Consumers of events: their positions and leases, the events that they have handled, and the events that wait for
-- another attempt or for an operator.
SET LOCAL lock_timeout = '2s';

CREATE TABLE consumer_partitions (
    consumer text NOT NULL CHECK (length(consumer) BETWEEN 1 AND 64),
    partition smallint NOT NULL CHECK (partition BETWEEN 0 AND 15),
    position bigint NOT NULL CHECK (position >= 0),
    owner text,
    fence bigint NOT NULL DEFAULT 0,
    leased_until timestamptz,
    PRIMARY KEY (consumer, partition)
);

COMMENT ON TABLE consumer_partitions IS
    'How far each consumer has read the events of each partition, and the instance that reads it. The partition of an '
    'event is the last hexadecimal digit of its subject.';
COMMENT ON COLUMN consumer_partitions.position IS
    'The offset up to which all events of the partition are handled or deferred. Outbox and position are in the same '
    'database, so a failover or a backup changes both, and the position needs no epoch.';
COMMENT ON COLUMN consumer_partitions.owner IS 'The instance that holds the lease, which is valid until leased_until';
COMMENT ON COLUMN consumer_partitions.fence IS
    'Increases whenever the owner changes. Changes by an earlier owner name an earlier fence and have no effect.';

CREATE TABLE consumer_instances (
    consumer text NOT NULL,
    instance text NOT NULL,
    seen_until timestamptz NOT NULL,
    PRIMARY KEY (consumer, instance)
);

COMMENT ON TABLE consumer_instances IS 'The instances that run a consumer, which divide its partitions among them';
COMMENT ON COLUMN consumer_instances.seen_until IS 'When the instance counts as gone unless it reports again';

CREATE TABLE inbox (
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    event_offset bigint NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, event_id)
);

COMMENT ON TABLE inbox IS
    'The events that each consumer has handled, written in the transaction of the effect. Rows are deleted when the '
    'outbox no longer contains the event.';

CREATE INDEX inbox_offset_idx ON inbox (consumer, event_offset);

CREATE TABLE deferred_events (
    id uuid PRIMARY KEY DEFAULT uuid_v7_now(),
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    subject uuid NOT NULL,
    partition smallint NOT NULL CHECK (partition BETWEEN 0 AND 15),
    event_offset bigint NOT NULL,
    type text NOT NULL,
    time timestamptz NOT NULL,
    request_id text,
    traceparent text,
    data jsonb NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    dead_since timestamptz,
    blocks_subject boolean NOT NULL DEFAULT true,
    error_type text,
    error_message text,
    deferred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT deferred_events_event_key UNIQUE (consumer, event_id),
    CONSTRAINT deferred_events_dead_letters_do_not_run CHECK (dead_since IS NULL OR next_attempt_at IS NULL),
    CONSTRAINT deferred_events_waiting_events_block CHECK (dead_since IS NOT NULL OR blocks_subject)
);

COMMENT ON TABLE deferred_events IS
    'Events that a consumer has not handled although its position is past them: an attempt failed, an earlier event of '
    'the subject waits, or the event is a dead letter. Jobs that failed are in failed_jobs.';
COMMENT ON COLUMN deferred_events.data IS 'A copy, which outlives the outbox. Holds no personal data.';
COMMENT ON COLUMN deferred_events.next_attempt_at IS
    'Null for dead letters and for events that wait behind an earlier event of the subject';
COMMENT ON COLUMN deferred_events.dead_since IS 'When the event became a dead letter; null while it has attempts left';
COMMENT ON COLUMN deferred_events.blocks_subject IS
    'Whether later events of the subject wait. False only for dead letters of consumers that continue after them.';
COMMENT ON COLUMN deferred_events.error_type IS 'The code of the last error';

CREATE INDEX deferred_events_subject_idx ON deferred_events (consumer, subject, event_offset);
CREATE INDEX deferred_events_due_idx ON deferred_events (consumer, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX deferred_events_dead_idx ON deferred_events (id) WHERE dead_since IS NOT NULL;
CREATE INDEX deferred_events_dead_of_consumer_idx ON deferred_events (consumer, id) WHERE dead_since IS NOT NULL;
CREATE INDEX deferred_events_offset_idx ON deferred_events (consumer, event_offset);
