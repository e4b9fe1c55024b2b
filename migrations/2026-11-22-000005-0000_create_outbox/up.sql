CREATE TABLE outbox (
    seq bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    id uuid NOT NULL DEFAULT uuid_v7_now(),
    type text NOT NULL,
    subject uuid NOT NULL,
    time timestamptz NOT NULL DEFAULT clock_timestamp(),
    request_id text,
    traceparent text,
    data jsonb NOT NULL,
    relay_offset bigint,
    published_at timestamptz
);

COMMENT ON TABLE outbox IS
    'Events in a CloudEvents 1.0 envelope, written by trigger in the transaction of the change they report';
COMMENT ON COLUMN outbox.seq IS
    'Order of insertion. Changes of one application are serialised by its row lock, so its events are in order; those '
    'of different applications commit in any order, so no reader may use seq as a cursor.';
COMMENT ON COLUMN outbox.subject IS 'The id of the application';
COMMENT ON COLUMN outbox.request_id IS 'The request that led to the change';
COMMENT ON COLUMN outbox.data IS 'Holds no personal data';
COMMENT ON COLUMN outbox.relay_offset IS
    'The position in the single global sequence, assigned by the leading relay as it publishes: the cursor of every '
    'reader';

CREATE INDEX outbox_unpublished_idx ON outbox (seq) WHERE relay_offset IS NULL;
CREATE UNIQUE INDEX outbox_offset_idx ON outbox (relay_offset) WHERE relay_offset IS NOT NULL;

CREATE TABLE outbox_position (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    epoch uuid NOT NULL DEFAULT gen_random_uuid(),
    last_offset bigint NOT NULL DEFAULT 0
);

COMMENT ON TABLE outbox_position IS
    'The end of the global sequence; its row lock keeps two relays from assigning the same offset';
COMMENT ON COLUMN outbox_position.epoch IS 'Offsets of different epochs cannot be compared';

INSERT INTO outbox_position DEFAULT VALUES;
