CREATE SCHEMA partitions;
COMMENT ON SCHEMA partitions IS 'The monthly partitions; kept apart so that the main schema lists tables alone';

CREATE TABLE applications (
    id uuid PRIMARY KEY,
    country country NOT NULL,
    full_name bytea NOT NULL,
    identity_document bytea NOT NULL,
    requested_amount numeric(12, 2) NOT NULL CHECK (requested_amount > 0),
    monthly_income numeric(12, 2) NOT NULL CHECK (monthly_income > 0),
    term_months smallint NOT NULL DEFAULT 36 CHECK (term_months BETWEEN 6 AND 84),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    status application_status NOT NULL DEFAULT 'PENDING',
    country_specific_data jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(country_specific_data) = 'object'),
    banking_data jsonb,
    risk_score numeric(5, 2) CHECK (risk_score BETWEEN 0 AND 100),
    validation_errors jsonb,
    version bigint NOT NULL DEFAULT 1,
    created_by text NOT NULL DEFAULT ('sql:' || session_user),
    changed_by text,
    change_reason text,
    change_request_id text,
    change_traceparent text,
    change_id uuid,
    created_at timestamptz NOT NULL GENERATED ALWAYS AS (uuid_v7_time(id)) STORED,
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    CONSTRAINT applications_id_is_version_7 CHECK (substr(id::text, 15, 1) = '7')
) PARTITION BY RANGE (id);

COMMENT ON TABLE applications IS
    'Credit applications, one partition a month of the id. Inserting one queues its job, writes its first audit row '
    'and its first event, by trigger.';
COMMENT ON COLUMN applications.id IS 'Version 7 UUID, made by the application: the month inside it is the partition';
COMMENT ON COLUMN applications.full_name IS 'Personal data in an envelope (storage/seal.rs), never in the clear';
COMMENT ON COLUMN applications.identity_document IS 'Personal data in an envelope (storage/seal.rs), never in the clear';
COMMENT ON COLUMN applications.requested_amount IS 'In the currency''s unit';
COMMENT ON COLUMN applications.monthly_income IS 'As declared, in the currency''s unit';
COMMENT ON COLUMN applications.currency IS 'ISO 4217';
COMMENT ON COLUMN applications.banking_data IS 'The bureau''s last report, in the common shape';
COMMENT ON COLUMN applications.risk_score IS '0.00 to 100.00, higher is riskier; null when it cannot be known';
COMMENT ON COLUMN applications.validation_errors IS 'Why processing failed for good, when it did';
COMMENT ON COLUMN applications.version IS 'Counts the changes; each has one audit row with the same number';
COMMENT ON COLUMN applications.changed_by IS 'Who made the last change: an account, or a part of the system';
COMMENT ON COLUMN applications.change_reason IS 'Why the last change was made';
COMMENT ON COLUMN applications.change_request_id IS 'The request that led to the last change';
COMMENT ON COLUMN applications.change_traceparent IS 'The W3C trace context of the last change';
COMMENT ON COLUMN applications.change_id IS 'Fresh with every change by Aval; a change without a fresh one is direct SQL';
COMMENT ON COLUMN applications.deleted_at IS 'Soft delete: set, never removed';

-- Lists: newest first within a filter. The primary key serves those without one.
CREATE INDEX applications_country_status_idx ON applications (country, status, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX applications_status_idx ON applications (status, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX applications_created_by_idx ON applications (created_by, id DESC) WHERE deleted_at IS NULL;
