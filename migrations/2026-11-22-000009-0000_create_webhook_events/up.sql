CREATE TYPE webhook_status AS ENUM ('received', 'applied', 'ignored', 'failed');
COMMENT ON TYPE webhook_status IS
    'Result of a webhook: applied to its application; ignored, because there was nothing to change; failed, to be sent '
    'or tried again. received exists only inside the transaction that stores it.';

CREATE TABLE webhook_events (
    id uuid PRIMARY KEY,
    idempotency_key text NOT NULL UNIQUE,
    provider text NOT NULL,
    country country NOT NULL,
    application_id uuid NOT NULL,
    provider_reference text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('confirmed', 'rejected', 'needs_review')),
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    payload bytea NOT NULL,
    status webhook_status NOT NULL DEFAULT 'received',
    attempts integer NOT NULL DEFAULT 1 CHECK (attempts >= 1),
    error_type text,
    error_message text,
    request_id text,
    traceparent text,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    settled_at timestamptz,
    next_attempt_at timestamptz,
    CONSTRAINT webhook_events_only_failed_ones_wait CHECK (next_attempt_at IS NULL OR status = 'failed'),
    CONSTRAINT webhook_events_settled_when_done CHECK ((settled_at IS NOT NULL) = (status IN ('applied', 'ignored')))
);

COMMENT ON TABLE webhook_events IS
    'Verified messages of bureaus and banks, one row per message however often it was sent. Kept for 30 days, during '
    'which a repeated message is recognised. Few and short-lived, so not partitioned.';
COMMENT ON COLUMN webhook_events.id IS 'Version 7 UUID of the time of receipt';
COMMENT ON COLUMN webhook_events.idempotency_key IS
    'The bureau, a slash, and in hex the keyed hash of the bureau and its message (the webhook-id, or for a legacy '
    'signature the provider_reference). Senders choose these, and they may contain personal data.';
COMMENT ON COLUMN webhook_events.provider IS 'The bureau of the application''s country';
COMMENT ON COLUMN webhook_events.provider_reference IS 'The bureau''s identifier of the application';
COMMENT ON COLUMN webhook_events.outcome IS 'The bureau''s result';
COMMENT ON COLUMN webhook_events.fingerprint IS 'Keyed hash of the raw body: identifies a repeated message';
COMMENT ON COLUMN webhook_events.payload IS 'The raw body, sealed (storage/seal), never plaintext';
COMMENT ON COLUMN webhook_events.attempts IS 'Number of attempts to apply it';
COMMENT ON COLUMN webhook_events.error_type IS 'Error code of the last failure; kept when a later attempt succeeds';
COMMENT ON COLUMN webhook_events.error_message IS 'For operators; without personal data';
COMMENT ON COLUMN webhook_events.occurred_at IS 'By the sender''s clock';
COMMENT ON COLUMN webhook_events.received_at IS 'When it was first received, by Aval''s clock';
COMMENT ON COLUMN webhook_events.settled_at IS 'When it was applied or ignored';
COMMENT ON COLUMN webhook_events.next_attempt_at IS
    'When a failed one is tried again; null when Aval has given up and only the sender can try again';

CREATE INDEX webhook_events_application_idx ON webhook_events (application_id, id DESC);
CREATE INDEX webhook_events_due_idx ON webhook_events (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX webhook_events_status_idx ON webhook_events (status, id DESC);
CREATE INDEX webhook_events_received_idx ON webhook_events (received_at);

-- The message as received. The payload may be resealed with another key; the fingerprint identifies its content.
CREATE TRIGGER webhook_events_recorded BEFORE UPDATE ON webhook_events FOR EACH ROW WHEN (
    (OLD.id, OLD.idempotency_key, OLD.provider, OLD.country, OLD.application_id, OLD.provider_reference, OLD.outcome,
        OLD.fingerprint, OLD.request_id, OLD.traceparent, OLD.occurred_at, OLD.received_at)
    IS DISTINCT FROM
    (NEW.id, NEW.idempotency_key, NEW.provider, NEW.country, NEW.application_id, NEW.provider_reference, NEW.outcome,
        NEW.fingerprint, NEW.request_id, NEW.traceparent, NEW.occurred_at, NEW.received_at))
    EXECUTE FUNCTION refuse_rewrite();

-- The result of a message that was applied or ignored does not change.
CREATE TRIGGER webhook_events_settled BEFORE UPDATE ON webhook_events FOR EACH ROW WHEN (
    OLD.settled_at IS NOT NULL
    AND (OLD.status, OLD.attempts, OLD.error_type, OLD.error_message, OLD.settled_at, OLD.next_attempt_at)
    IS DISTINCT FROM (NEW.status, NEW.attempts, NEW.error_type, NEW.error_message, NEW.settled_at, NEW.next_attempt_at))
    EXECUTE FUNCTION refuse_rewrite();

-- A legacy message is accepted for 29 days, so a repetition must be recognized for the same time
-- (webhooks.retention_days is at least 30).
CREATE TRIGGER webhook_events_kept BEFORE DELETE ON webhook_events FOR EACH ROW WHEN (
    OLD.received_at > now() - interval '29 days')
    EXECUTE FUNCTION refuse_rewrite();

-- A payload may only be sealed again under another key.
CREATE TRIGGER webhook_events_sealed BEFORE UPDATE ON webhook_events FOR EACH ROW WHEN (
    OLD.payload IS DISTINCT FROM NEW.payload AND is_of_another_key(OLD.payload, NEW.payload) IS NOT TRUE)
    EXECUTE FUNCTION refuse_rewrite();
