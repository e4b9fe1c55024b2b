CREATE TABLE audit_logs (
    id uuid NOT NULL DEFAULT uuid_v7_now(),
    application_id uuid NOT NULL,
    version bigint NOT NULL,
    action audit_action NOT NULL,
    old_status application_status,
    new_status application_status NOT NULL,
    changed_by text NOT NULL,
    change_reason text,
    change_request_id text,
    change_id uuid NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (application_id, version)
) PARTITION BY RANGE (application_id);

COMMENT ON TABLE audit_logs IS
    'One row for each change of an application, written by trigger and never changed. Partitioned like applications, '
    'without a foreign key, so that a month can be archived as a whole.';
COMMENT ON COLUMN audit_logs.version IS 'The application''s version after the change: the order of its history';
COMMENT ON COLUMN audit_logs.old_status IS 'Null for the creation';
COMMENT ON COLUMN audit_logs.changed_by IS 'An account, a part of the system (system:…), or for direct SQL the database user (sql:…)';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_ARGV[0], TABLE = TG_TABLE_NAME;
END
$$;
COMMENT ON FUNCTION refuse_change IS 'Keeps an append-only table that way';

CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION refuse_change('audit_logs_append_only');
CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('audit_logs_append_only');

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

COMMENT ON TABLE decisions IS 'Every evaluation of every application, with all that it looked at, so that it can be replayed';
COMMENT ON COLUMN decisions.reasons IS 'Up to four reason codes, the weightiest first';
COMMENT ON COLUMN decisions.rules IS 'Every rule with inputs, threshold and result';
COMMENT ON COLUMN decisions.rules_version IS 'Content hash of the rule pack';
COMMENT ON COLUMN decisions.input IS 'Amounts, term and banking data that were decided on';
COMMENT ON COLUMN decisions.provider_available IS 'False when fallback figures stood in for the bureau';
