-- Events about accounts, API keys and circuit breakers, in the outbox like those about applications. Their data
-- contains identifiers, roles and settings. Names, reasons and addresses are personal data and are only in the tables.

COMMENT ON COLUMN outbox.subject IS
    'What changed: an application, an account or an API key by its id, a circuit breaker by circuit_subject(country)';

CREATE FUNCTION record_event(event_id uuid, event text, subject uuid, request text, data jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.outbox (id, type, subject, request_id, data) VALUES (event_id, event, subject, request, data);
    -- The payload is always the same, so PostgreSQL sends one notification per transaction.
    PERFORM pg_notify('aval_outbox', '');
END
$$;
COMMENT ON FUNCTION record_event IS 'Writes an event to the outbox and wakes the relay';

CREATE FUNCTION record_account_event(event text, account uuid, data jsonb) RETURNS void LANGUAGE sql AS $$
    SELECT record_event(uuid_v7_now(), event, account,
        nullif(current_setting('aval.origin', true), '')::jsonb ->> 'request_id', data)
$$;
COMMENT ON FUNCTION record_account_event IS
    'Writes an event about an account or an API key, with the request that the transaction has set as its origin';

-- A country has no UUID, so one of version 8 (RFC 9562, section 5.8) is computed from its code.
CREATE FUNCTION circuit_subject(country text) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN overlay(overlay(md5('circuit:' || country) PLACING '8' FROM 13) PLACING 'a' FROM 17)::uuid;
COMMENT ON FUNCTION circuit_subject IS 'The subject of the events about the circuit breakers of a country';

CREATE OR REPLACE FUNCTION users_record_changes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    actor text := nullif(current_setting('aval.origin', true), '')::jsonb ->> 'actor';
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM record_security_event('account_created', NULL, NEW.username, jsonb_build_object('role', NEW.role));
        PERFORM record_account_event('account.created.v1', NEW.id,
            jsonb_build_object('account_id', NEW.id, 'role', NEW.role));
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM record_security_event('account_deleted', NULL, OLD.username, jsonb_build_object('role', OLD.role));
        PERFORM record_account_event('account.deleted.v1', OLD.id,
            jsonb_build_object('account_id', OLD.id, 'role', OLD.role));
    ELSE
        IF NEW.role <> OLD.role THEN
            PERFORM record_security_event('account_role_changed', NULL, NEW.username,
                jsonb_build_object('from', OLD.role, 'to', NEW.role));
            PERFORM record_account_event('account.role_changed.v1', NEW.id,
                jsonb_build_object('account_id', NEW.id, 'role', NEW.role, 'previous_role', OLD.role));
        END IF;
        IF (NEW.disabled_at IS NULL) <> (OLD.disabled_at IS NULL) THEN
            PERFORM record_security_event(
                CASE WHEN NEW.disabled_at IS NULL THEN 'account_enabled' ELSE 'account_disabled' END,
                NULL, NEW.username, '{}');
            PERFORM record_account_event(
                CASE WHEN NEW.disabled_at IS NULL THEN 'account.enabled.v1' ELSE 'account.disabled.v1' END,
                NEW.id, jsonb_build_object('account_id', NEW.id, 'role', NEW.role));
        END IF;
        IF NEW.password_hash <> OLD.password_hash AND NOT is_same_password(NEW.id) THEN
            PERFORM record_security_event('password_changed', NULL, NEW.username, '{}');
            PERFORM record_account_event('account.password_reset.v1', NEW.id, jsonb_build_object(
                'account_id', NEW.id, 'by_owner', coalesce(actor = NEW.username, false)));
        END IF;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION users_record_changes IS
    'Records changes of accounts as security events and as events of the outbox, those of plain SQL too';

CREATE FUNCTION api_key_data(key api_keys) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('key_id', key.id, 'role', key.role, 'scopes', key.scopes, 'expires_at',
        to_char(key.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
$$;
COMMENT ON FUNCTION api_key_data IS 'The data of an event about an API key: neither its name nor its hash';

CREATE OR REPLACE FUNCTION api_keys_record_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM record_security_event('api_key_created', NULL, 'key:' || NEW.name, jsonb_build_object(
            'role', NEW.role, 'scopes', NEW.scopes, 'expires_at',
                to_char(NEW.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')));
        PERFORM record_account_event('account.key_created.v1', NEW.id, api_key_data(NEW));
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM record_security_event('api_key_deleted', NULL, 'key:' || OLD.name, '{}');
        PERFORM record_account_event('account.key_deleted.v1', OLD.id, api_key_data(OLD));
    ELSE
        IF NEW.revoked_at IS NOT NULL AND OLD.revoked_at IS NULL THEN
            PERFORM record_security_event('api_key_revoked', NULL, 'key:' || NEW.name, '{}');
            PERFORM record_account_event('account.key_revoked.v1', NEW.id, api_key_data(NEW));
        END IF;
        IF (NEW.key_hash, NEW.role, NEW.scopes, NEW.expires_at) IS DISTINCT FROM
           (OLD.key_hash, OLD.role, OLD.scopes, OLD.expires_at)
           OR (NEW.revoked_at IS NULL AND OLD.revoked_at IS NOT NULL)
        THEN
            PERFORM record_security_event('api_key_changed', NULL, 'key:' || NEW.name, jsonb_build_object(
                'role', NEW.role, 'scopes', NEW.scopes, 'expires_at',
                to_char(NEW.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')));
            PERFORM record_account_event('account.key_changed.v1', NEW.id, api_key_data(NEW));
        END IF;
        IF NEW.last_used_at IS NOT NULL AND OLD.last_used_at IS NULL THEN
            PERFORM record_security_event('api_key_first_used', 'key:' || NEW.name, 'key:' || NEW.name, '{}');
        END IF;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION api_keys_record_changes IS
    'Records changes of API keys as security events and as events of the outbox, those of plain SQL too';

CREATE FUNCTION record_circuit_override() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- Deleting the row ends the override.
    is_set boolean := TG_OP <> 'DELETE';
    of_country text := CASE WHEN is_set THEN NEW.country ELSE OLD.country END;
BEGIN
    PERFORM record_event(uuid_v7_now(), 'circuit.overridden.v1', circuit_subject(of_country),
        CASE WHEN is_set THEN NEW.request_id END,
        jsonb_build_object('country', of_country, 'mode', CASE WHEN is_set THEN NEW.mode ELSE 'auto' END,
            'expires_at', CASE WHEN is_set
                THEN to_char(NEW.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION record_circuit_override IS 'Writes an event when an operator forces a circuit breaker or gives it back';

CREATE TRIGGER circuit_overrides_record AFTER INSERT OR UPDATE OR DELETE ON circuit_overrides
    FOR EACH ROW EXECUTE FUNCTION record_circuit_override();
