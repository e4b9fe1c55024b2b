CREATE TABLE circuit_overrides (
    country country PRIMARY KEY,
    mode text NOT NULL CHECK (mode IN ('auto', 'forced_open', 'forced_closed')),
    reason text,
    set_by text NOT NULL DEFAULT ('sql:' || session_user),
    set_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    request_id text,
    expires_at timestamptz,
    CONSTRAINT circuit_overrides_forced_ones_end CHECK (
        (mode = 'auto') = (expires_at IS NULL) AND (mode = 'auto' OR reason IS NOT NULL))
);

COMMENT ON TABLE circuit_overrides IS
    'What operators want of each country''s circuit breaker, on every instance. No row, mode auto or an expired row: the '
    'breaker decides by itself.';
COMMENT ON COLUMN circuit_overrides.mode IS 'auto; forced_open: nobody asks the bureau; forced_closed: everybody may';
COMMENT ON COLUMN circuit_overrides.expires_at IS 'By the database''s clock; null for auto alone';

CREATE TABLE circuit_override_log (
    id uuid PRIMARY KEY DEFAULT uuid_v7_now(),
    country country NOT NULL,
    mode text NOT NULL,
    reason text,
    changed_by text NOT NULL,
    request_id text,
    expires_at timestamptz,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON TABLE circuit_override_log IS 'Every override that there was, written by trigger; append-only';

CREATE INDEX circuit_override_log_country_idx ON circuit_override_log (country, id DESC);

CREATE TRIGGER circuit_override_log_append_only BEFORE UPDATE OR DELETE ON circuit_override_log
    FOR EACH ROW EXECUTE FUNCTION refuse_change('circuit_override_log_append_only');
CREATE TRIGGER circuit_override_log_no_truncate BEFORE TRUNCATE ON circuit_override_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('circuit_override_log_append_only');

CREATE FUNCTION log_circuit_override() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO circuit_override_log (country, mode, changed_by)
        VALUES (OLD.country, 'auto', 'sql:' || session_user);
    ELSE
        INSERT INTO circuit_override_log (country, mode, reason, changed_by, request_id, expires_at)
        VALUES (NEW.country, NEW.mode, NEW.reason, NEW.set_by, NEW.request_id, NEW.expires_at);
    END IF;
    PERFORM pg_notify('aval_circuits', '');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION log_circuit_override IS 'Keeps every override, and tells every instance of it';

CREATE TRIGGER circuit_overrides_log AFTER INSERT OR UPDATE OR DELETE ON circuit_overrides
    FOR EACH ROW EXECUTE FUNCTION log_circuit_override();
