CREATE TABLE security_events (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind ~ '^[a-z_]{3,40}$'),
    actor text,
    subject text,
    detail jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(detail) = 'object'),
    origin_id uuid,
    address bytea,
    request_id text,
    occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (address IS NULL OR origin_id IS NOT NULL)
);

COMMENT ON TABLE security_events IS
    'Changes of accounts and API keys, logins and failed logins. Append-only: a row is deleted after its retention, '
    'never within 90 days.';
COMMENT ON COLUMN security_events.id IS 'Version 7 UUID of the time it was recorded';
COMMENT ON COLUMN security_events.kind IS 'Such as account_created; new versions add kinds';
COMMENT ON COLUMN security_events.actor IS
    'The account, key:<name>, system:<part>, or database:<role> for a change by direct SQL; null when not '
    'authenticated';
COMMENT ON COLUMN security_events.subject IS
    'The account or key:<name> that is affected; null for a login with a name that no account has';
COMMENT ON COLUMN security_events.origin_id IS 'Random; the same for all events of one operation';
COMMENT ON COLUMN security_events.address IS 'The client''s IP address, sealed under origin_id';

CREATE INDEX security_events_subject_idx ON security_events (subject, id DESC);
CREATE INDEX security_events_actor_idx ON security_events (actor, id DESC);
CREATE INDEX security_events_expiry_idx ON security_events (occurred_at);
CREATE INDEX security_events_origin_idx ON security_events (origin_id) WHERE address IS NOT NULL;

-- Only the envelope of an address may be replaced (aval reencrypt).
CREATE TRIGGER security_events_append_only BEFORE UPDATE ON security_events
    FOR EACH ROW
    WHEN ((NEW.id, NEW.kind, NEW.actor, NEW.subject, NEW.detail, NEW.origin_id, NEW.request_id, NEW.occurred_at)
            IS DISTINCT FROM
          (OLD.id, OLD.kind, OLD.actor, OLD.subject, OLD.detail, OLD.origin_id, OLD.request_id, OLD.occurred_at)
        OR (NEW.address IS NULL) <> (OLD.address IS NULL))
    EXECUTE FUNCTION refuse_change('security_events_append_only');
CREATE TRIGGER security_events_kept BEFORE DELETE ON security_events
    FOR EACH ROW WHEN (OLD.occurred_at > clock_timestamp() - interval '90 days')
    EXECUTE FUNCTION refuse_change('security_events_append_only');
CREATE TRIGGER security_events_no_truncate BEFORE TRUNCATE ON security_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('security_events_append_only');

CREATE FUNCTION record_security_event(kind text, actor text, subject text, detail jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    -- Aval sets aval.origin for the transaction: {"id", "actor", "address", "request_id"}.
    origin jsonb := nullif(current_setting('aval.origin', true), '')::jsonb;
BEGIN
    INSERT INTO public.security_events (id, kind, actor, subject, detail, origin_id, address, request_id)
    VALUES (
        uuid_v7_now(), kind,
        coalesce(actor, CASE WHEN origin IS NULL THEN 'database:' || session_user ELSE origin ->> 'actor' END),
        subject, jsonb_strip_nulls(detail),
        (origin ->> 'id')::uuid, decode(origin ->> 'address', 'hex'), origin ->> 'request_id'
    );
END
$$;
COMMENT ON FUNCTION record_security_event IS
    'Records a security event in the transaction of the change, with the origin that the transaction has set';

CREATE FUNCTION users_record_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM record_security_event('account_created', NULL, NEW.username, jsonb_build_object('role', NEW.role));
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM record_security_event('account_deleted', NULL, OLD.username, jsonb_build_object('role', OLD.role));
    ELSE
        IF NEW.role <> OLD.role THEN
            PERFORM record_security_event('account_role_changed', NULL, NEW.username,
                jsonb_build_object('from', OLD.role, 'to', NEW.role));
        END IF;
        IF (NEW.disabled_at IS NULL) <> (OLD.disabled_at IS NULL) THEN
            PERFORM record_security_event(
                CASE WHEN NEW.disabled_at IS NULL THEN 'account_enabled' ELSE 'account_disabled' END,
                NULL, NEW.username, '{}');
        END IF;
        IF NEW.password_hash <> OLD.password_hash AND NOT is_same_password(NEW.id) THEN
            PERFORM record_security_event('password_changed', NULL, NEW.username, '{}');
        END IF;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION users_record_changes IS
    'Records changes of accounts as security events, including those by direct SQL';

CREATE TRIGGER users_record_changes AFTER INSERT OR UPDATE OR DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION users_record_changes();

CREATE FUNCTION api_keys_record_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM record_security_event('api_key_created', NULL, 'key:' || NEW.name, jsonb_build_object(
            'role', NEW.role, 'scopes', NEW.scopes, 'expires_at',
                to_char(NEW.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')));
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM record_security_event('api_key_deleted', NULL, 'key:' || OLD.name, '{}');
    ELSE
        IF NEW.revoked_at IS NOT NULL AND OLD.revoked_at IS NULL THEN
            PERFORM record_security_event('api_key_revoked', NULL, 'key:' || NEW.name, '{}');
        END IF;
        IF (NEW.key_hash, NEW.role, NEW.scopes, NEW.expires_at) IS DISTINCT FROM
           (OLD.key_hash, OLD.role, OLD.scopes, OLD.expires_at)
           OR (NEW.revoked_at IS NULL AND OLD.revoked_at IS NOT NULL)
        THEN
            PERFORM record_security_event('api_key_changed', NULL, 'key:' || NEW.name, jsonb_build_object(
                'role', NEW.role, 'scopes', NEW.scopes, 'expires_at',
                to_char(NEW.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')));
        END IF;
        IF NEW.last_used_at IS NOT NULL AND OLD.last_used_at IS NULL THEN
            PERFORM record_security_event('api_key_first_used', 'key:' || NEW.name, 'key:' || NEW.name, '{}');
        END IF;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION api_keys_record_changes IS
    'Records changes of API keys as security events, including those by direct SQL';

CREATE TRIGGER api_keys_record_changes AFTER INSERT OR UPDATE OR DELETE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION api_keys_record_changes();

-- The serving user has no DELETE privilege on append-only tables. This function never deletes the last 90 days.
CREATE FUNCTION delete_expired_security_events(older_than timestamptz, at_most bigint) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH expired AS (
        SELECT id FROM security_events
        WHERE occurred_at < least(older_than, clock_timestamp() - interval '90 days')
        ORDER BY occurred_at LIMIT at_most
    ),
    deleted AS (DELETE FROM security_events s USING expired e WHERE s.id = e.id RETURNING s.id)
    SELECT count(*) FROM deleted;
$$;
COMMENT ON FUNCTION delete_expired_security_events IS 'Deletes events after their retention; returns their number';

-- The serving user has no UPDATE privilege either. This function can only replace envelopes.
CREATE FUNCTION reseal_security_events(origins bytea[], old_addresses bytea[], new_addresses bytea[]) RETURNS SETOF uuid
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE security_events s SET address = r.sealed_again
    FROM unnest(origins, old_addresses, new_addresses) AS r (origin, sealed, sealed_again)
    WHERE s.origin_id = encode(r.origin, 'hex')::uuid AND s.address = r.sealed
        AND is_of_another_key(r.sealed, r.sealed_again)
    RETURNING s.id;
$$;
COMMENT ON FUNCTION reseal_security_events IS 'Replaces sealed addresses by ones sealed with the active key';

CREATE TABLE staff_views (
    id uuid PRIMARY KEY,
    account text NOT NULL,
    action text NOT NULL,
    application_id uuid,
    document_index bytea,
    filter jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(filter) = 'object'),
    request_id text,
    viewed_at timestamptz NOT NULL,
    keep_until timestamptz NOT NULL
);

COMMENT ON TABLE staff_views IS
    'What staff looked at: other people''s applications, lists, searches and exports. Append-only: a row is deleted '
    'when its retention is over, never before. Holds no personal data.';
COMMENT ON COLUMN staff_views.id IS 'Version 7 UUID of the time of the view';
COMMENT ON COLUMN staff_views.action IS 'What was viewed: application, application_list, …';
COMMENT ON COLUMN staff_views.application_id IS 'The application; null for a list, a search or an export';
COMMENT ON COLUMN staff_views.document_index IS 'Blind index of the document that was searched for; never the document';
COMMENT ON COLUMN staff_views.filter IS 'The filter of a list, a search or an export';
COMMENT ON COLUMN staff_views.keep_until IS 'From the retention that was configured when it was written';

CREATE INDEX staff_views_account_idx ON staff_views (account, id DESC);
CREATE INDEX staff_views_application_idx ON staff_views (application_id, id DESC) WHERE application_id IS NOT NULL;
CREATE INDEX staff_views_expiry_idx ON staff_views (keep_until);

CREATE TRIGGER staff_views_append_only BEFORE UPDATE ON staff_views
    FOR EACH ROW EXECUTE FUNCTION refuse_change('staff_views_append_only');
CREATE TRIGGER staff_views_kept BEFORE DELETE ON staff_views
    FOR EACH ROW WHEN (OLD.keep_until > clock_timestamp()) EXECUTE FUNCTION refuse_change('staff_views_append_only');
CREATE TRIGGER staff_views_no_truncate BEFORE TRUNCATE ON staff_views
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('staff_views_append_only');

-- The serving user has no DELETE privilege on append-only tables; this function deletes only expired rows.
CREATE FUNCTION delete_expired_staff_views(at_most bigint) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH expired AS (SELECT id FROM staff_views WHERE keep_until <= clock_timestamp() ORDER BY keep_until LIMIT at_most),
    deleted AS (DELETE FROM staff_views v USING expired e WHERE v.id = e.id RETURNING v.id)
    SELECT count(*) FROM deleted;
$$;
COMMENT ON FUNCTION delete_expired_staff_views IS 'Deletes views whose retention is over; returns their number';
