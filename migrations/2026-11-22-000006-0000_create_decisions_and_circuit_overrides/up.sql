CREATE TABLE decisions (
    id uuid NOT NULL,
    application_id uuid NOT NULL,
    job_id uuid,
    status application_status NOT NULL CHECK (status IN ('APPROVED', 'REJECTED', 'UNDER_REVIEW')),
    risk_score numeric(5, 2) CHECK (risk_score BETWEEN 0 AND 100),
    reasons jsonb NOT NULL CHECK (jsonb_typeof(reasons) = 'array'),
    rules jsonb NOT NULL CHECK (jsonb_typeof(rules) = 'array'),
    rules_version text NOT NULL,
    input jsonb NOT NULL,
    provider_available boolean NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (application_id, id)
) PARTITION BY RANGE (application_id);

COMMENT ON TABLE decisions IS 'Every evaluation of every application with all its input, so that it can be replayed';
COMMENT ON COLUMN decisions.reasons IS 'Up to four reason codes, the most important first';
COMMENT ON COLUMN decisions.rules IS 'Every rule with its input, threshold and result';
COMMENT ON COLUMN decisions.rules_version IS 'Content hash of the rule pack';
COMMENT ON COLUMN decisions.input IS 'Amounts, term and banking data that the decision is based on';
COMMENT ON COLUMN decisions.provider_available IS 'False when fallback figures replaced the bureau''s report';

-- Months of decisions are archived as whole tables, by functions of the owner.
CREATE TRIGGER decisions_append_only BEFORE UPDATE OR DELETE ON decisions
    FOR EACH ROW EXECUTE FUNCTION refuse_change('decisions_append_only');
CREATE TRIGGER decisions_no_truncate BEFORE TRUNCATE ON decisions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('decisions_append_only');

CREATE TABLE provider_retries (
    application_id uuid PRIMARY KEY,
    country country NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE provider_retries IS
    'Applications that were decided without their bureau and are to be decided again. The row is deleted when that '
    'happens, or when a person decides first.';
COMMENT ON COLUMN provider_retries.next_at IS
    'Earliest time of the next attempt; the interval doubles with each attempt. Infinity: a retry by an operator is '
    'deciding it again, and nothing else will unless the bureau is still unavailable.';

CREATE INDEX provider_retries_due_idx ON provider_retries (country, next_at);

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
    'Operators'' overrides of the circuit breakers, on every instance. Without a row, in mode auto or when the row has '
    'expired, the breaker decides by itself.';
COMMENT ON COLUMN circuit_overrides.mode IS
    'auto; forced_open: no calls to the bureau; forced_closed: all calls are allowed';
COMMENT ON COLUMN circuit_overrides.expires_at IS 'By the database''s clock; null only for auto';

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

COMMENT ON TABLE circuit_override_log IS 'The history of overrides, written by trigger; append-only';

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
COMMENT ON FUNCTION log_circuit_override IS 'Records every override and notifies every instance';

CREATE TRIGGER circuit_overrides_log AFTER INSERT OR UPDATE OR DELETE ON circuit_overrides
    FOR EACH ROW EXECUTE FUNCTION log_circuit_override();
