-- Outbound webhooks: the endpoints that events are sent to, their secrets, and the deliveries with their attempts.
SET LOCAL lock_timeout = '2s';

CREATE TABLE webhook_endpoints (
    id uuid PRIMARY KEY,
    url text NOT NULL CHECK (length(url) BETWEEN 8 AND 2000),
    description text NOT NULL DEFAULT '' CHECK (length(description) <= 500),
    event_types text[] NOT NULL CHECK (cardinality(event_types) BETWEEN 1 AND 100),
    countries text[] NOT NULL DEFAULT '{}',
    ordered boolean NOT NULL DEFAULT false,
    disabled_at timestamptz,
    disabled_reason text CHECK (disabled_reason IN ('operator', 'gone', 'failing')),
    failing_since timestamptz,
    owner_id uuid,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT webhook_endpoints_disabled_for_a_reason CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
);

COMMENT ON TABLE webhook_endpoints IS 'URLs of other systems that events are sent to';
COMMENT ON COLUMN webhook_endpoints.event_types IS
    'Type names (application.created.v1), families (application.*) or * for all types';
COMMENT ON COLUMN webhook_endpoints.countries IS 'Only events of these countries are sent; empty: all events';
COMMENT ON COLUMN webhook_endpoints.ordered IS
    'Whether a delivery waits until the earlier deliveries about the same subject have ended';
COMMENT ON COLUMN webhook_endpoints.disabled_reason IS
    'operator: disabled by an account; gone: an attempt was answered with 410; failing: every attempt failed for days';
COMMENT ON COLUMN webhook_endpoints.failing_since IS
    'The first failed attempt after the last successful one; null after a success';
COMMENT ON COLUMN webhook_endpoints.owner_id IS 'The user or API key that created the endpoint; null for a part of Aval';
COMMENT ON COLUMN webhook_endpoints.created_by IS 'The name of the account that created the endpoint';

CREATE TABLE webhook_secrets (
    id uuid PRIMARY KEY,
    endpoint_id uuid NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
    algorithm text NOT NULL CHECK (algorithm IN ('v1', 'v1a')),
    secret bytea NOT NULL,
    public_key text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    CONSTRAINT webhook_secrets_public_key_of_ed25519 CHECK ((public_key IS NULL) = (algorithm = 'v1'))
);

COMMENT ON TABLE webhook_secrets IS
    'Secrets that sign deliveries. A rotation adds one; the previous ones expire a day later.';
COMMENT ON COLUMN webhook_secrets.algorithm IS 'The version of Standard Webhooks: v1 (HMAC-SHA256) or v1a (ed25519)';
COMMENT ON COLUMN webhook_secrets.secret IS 'The key or the seed of the key pair, sealed (storage/seal), never plaintext';
COMMENT ON COLUMN webhook_secrets.expires_at IS 'Null for the current secret';

CREATE INDEX webhook_secrets_endpoint_idx ON webhook_secrets (endpoint_id, id DESC);
CREATE INDEX webhook_secrets_expiry_idx ON webhook_secrets (expires_at) WHERE expires_at IS NOT NULL;

-- A secret may only be sealed again under another key.
CREATE TRIGGER webhook_secrets_sealed BEFORE UPDATE ON webhook_secrets FOR EACH ROW WHEN (
    OLD.secret IS DISTINCT FROM NEW.secret AND is_of_another_key(OLD.secret, NEW.secret) IS NOT TRUE)
    EXECUTE FUNCTION refuse_rewrite();

CREATE TABLE webhook_messages (
    id uuid PRIMARY KEY,
    event_type text NOT NULL,
    subject uuid NOT NULL,
    body text NOT NULL CHECK (octet_length(body) <= 20000),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON TABLE webhook_messages IS
    'The bodies that are sent to endpoints, one row per event. Kept longer than the outbox, so that a delivery can be '
    'repeated.';
COMMENT ON COLUMN webhook_messages.id IS 'The id of the event and the webhook-id of every attempt';
COMMENT ON COLUMN webhook_messages.body IS 'The event as CloudEvents JSON; holds no personal data';

CREATE INDEX webhook_messages_expiry_idx ON webhook_messages (created_at);

CREATE TABLE webhook_deliveries (
    id uuid PRIMARY KEY DEFAULT uuid_v7_now(),
    endpoint_id uuid NOT NULL,
    message_id uuid NOT NULL,
    event_type text NOT NULL,
    subject uuid NOT NULL,
    status text NOT NULL CHECK (status IN ('waiting', 'pending', 'delivered', 'dead', 'skipped')),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    last_result text,
    request_id text,
    traceparent text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    CONSTRAINT webhook_deliveries_once UNIQUE (message_id, endpoint_id),
    CONSTRAINT webhook_deliveries_finished CHECK ((finished_at IS NULL) = (status IN ('waiting', 'pending')))
);

COMMENT ON TABLE webhook_deliveries IS
    'One row per event and endpoint. A job (deliver_webhook) makes the attempts. Without foreign keys, because the rows of '
    'a deleted endpoint are kept until they expire.';
COMMENT ON COLUMN webhook_deliveries.status IS
    'waiting: an ordered endpoint has an earlier unfinished delivery about the subject; pending: its job is active; '
    'dead: all attempts failed; skipped: the endpoint was disabled';
COMMENT ON COLUMN webhook_deliveries.last_result IS 'The result of the last attempt; null before the first one';

CREATE INDEX webhook_deliveries_endpoint_idx ON webhook_deliveries (endpoint_id, id DESC);
CREATE INDEX webhook_deliveries_status_idx ON webhook_deliveries (endpoint_id, status, id DESC);
CREATE INDEX webhook_deliveries_order_idx ON webhook_deliveries (endpoint_id, subject, id)
    WHERE status IN ('waiting', 'pending');
CREATE INDEX webhook_deliveries_expiry_idx ON webhook_deliveries (created_at);

CREATE TABLE webhook_attempts (
    id uuid PRIMARY KEY,
    delivery_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    result text NOT NULL,
    status_code integer,
    duration_ms bigint NOT NULL CHECK (duration_ms >= 0),
    response bytea,
    error text,
    attempted_at timestamptz NOT NULL
);

COMMENT ON TABLE webhook_attempts IS 'Attempts at deliveries, kept for webhook_delivery.retention_days';
COMMENT ON COLUMN webhook_attempts.result IS 'delivered, gone, refused, redirect, timeout, connect, …';
COMMENT ON COLUMN webhook_attempts.response IS 'The first 1024 bytes of the response body, sealed; null without a body';
COMMENT ON COLUMN webhook_attempts.error IS 'Why there was no response; for operators';

CREATE INDEX webhook_attempts_endpoint_idx ON webhook_attempts (endpoint_id, id DESC);
CREATE INDEX webhook_attempts_delivery_idx ON webhook_attempts (delivery_id, id DESC);
CREATE INDEX webhook_attempts_expiry_idx ON webhook_attempts (attempted_at);

CREATE TRIGGER webhook_attempts_sealed BEFORE UPDATE ON webhook_attempts FOR EACH ROW WHEN (
    OLD.response IS DISTINCT FROM NEW.response AND is_of_another_key(OLD.response, NEW.response) IS NOT TRUE)
    EXECUTE FUNCTION refuse_rewrite();

CREATE FUNCTION webhook_endpoint_changed(event text, kind text, endpoint webhook_endpoints, detail jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM record_security_event('webhook_endpoint_' || kind, NULL, endpoint.created_by,
        jsonb_build_object('endpoint_id', endpoint.id) || detail);
    PERFORM record_account_event(event, endpoint.id,
        jsonb_build_object('endpoint_id', endpoint.id, 'owner_id', endpoint.owner_id) || detail);
END
$$;
COMMENT ON FUNCTION webhook_endpoint_changed IS
    'Records a change of a webhook endpoint as a security event, and as an event of the outbox. The event holds no URL and '
    'no name.';

CREATE FUNCTION webhook_endpoints_record_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM webhook_endpoint_changed('webhook.endpoint_created.v1', 'created', NEW, '{}');
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM webhook_endpoint_changed('webhook.endpoint_deleted.v1', 'deleted', OLD, '{}');
    ELSE
        IF (NEW.url, NEW.description, NEW.event_types, NEW.countries, NEW.ordered) IS DISTINCT FROM
           (OLD.url, OLD.description, OLD.event_types, OLD.countries, OLD.ordered)
        THEN
            PERFORM webhook_endpoint_changed('webhook.endpoint_changed.v1', 'changed', NEW, '{}');
        END IF;
        IF NEW.disabled_at IS NOT NULL AND OLD.disabled_at IS NULL THEN
            PERFORM webhook_endpoint_changed('webhook.endpoint_disabled.v1', 'disabled', NEW,
                jsonb_build_object('reason', NEW.disabled_reason));
        ELSIF NEW.disabled_at IS NULL AND OLD.disabled_at IS NOT NULL THEN
            PERFORM webhook_endpoint_changed('webhook.endpoint_enabled.v1', 'enabled', NEW, '{}');
        END IF;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION webhook_endpoints_record_changes IS
    'Records changes of webhook endpoints, those of plain SQL too';

CREATE TRIGGER webhook_endpoints_record_changes AFTER INSERT OR DELETE
    OR UPDATE OF url, description, event_types, countries, ordered, disabled_at ON webhook_endpoints
    FOR EACH ROW EXECUTE FUNCTION webhook_endpoints_record_changes();

CREATE FUNCTION webhook_secrets_record_rotation() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    endpoint webhook_endpoints;
BEGIN
    -- The first secret is created together with its endpoint.
    IF EXISTS (SELECT FROM webhook_secrets WHERE endpoint_id = NEW.endpoint_id AND id <> NEW.id) THEN
        SELECT * INTO endpoint FROM webhook_endpoints WHERE id = NEW.endpoint_id;
        PERFORM webhook_endpoint_changed('webhook.secret_rotated.v1', 'secret_rotated', endpoint,
            jsonb_build_object('algorithm', NEW.algorithm));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION webhook_secrets_record_rotation IS 'Records that an endpoint got another secret';

CREATE TRIGGER webhook_secrets_record_rotation AFTER INSERT ON webhook_secrets
    FOR EACH ROW EXECUTE FUNCTION webhook_secrets_record_rotation();
