-- Settings and saved views of accounts, the data for lists of their sessions, the history of the circuit breakers, and
-- the parts of a risk score.
SET LOCAL lock_timeout = '2s';

CREATE TABLE account_settings (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    language text CHECK (language IN ('en', 'es', 'pt', 'it')),
    time_zone text CHECK (length(time_zone) BETWEEN 1 AND 64),
    theme text NOT NULL CHECK (theme IN ('light', 'dark', 'auto')),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON TABLE account_settings IS 'Settings of people for the console. Without a row, the defaults apply.';
COMMENT ON COLUMN account_settings.language IS 'Null: the language of the browser';
COMMENT ON COLUMN account_settings.time_zone IS 'An IANA name; null: the time zone of the browser';

CREATE TABLE saved_views (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    page text NOT NULL CHECK (page IN ('applications', 'reviews')),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 60),
    filters jsonb NOT NULL CHECK (jsonb_typeof(filters) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT saved_views_name_key UNIQUE (user_id, page, name)
);

COMMENT ON TABLE saved_views IS 'Named filters of the lists in the console, visible only to the account that saved them';
COMMENT ON COLUMN saved_views.page IS 'The list that the filters belong to';
COMMENT ON COLUMN saved_views.filters IS
    'Query parameters of the list with their values as text; never a document, which is personal data';

ALTER TABLE refresh_tokens ADD COLUMN address bytea;
ALTER TABLE refresh_tokens ADD COLUMN user_agent text;
COMMENT ON COLUMN refresh_tokens.address IS 'The address of the client that the token was issued to, sealed';
COMMENT ON COLUMN refresh_tokens.user_agent IS 'The User-Agent of that client, shortened';

CREATE TABLE circuit_changes (
    id uuid PRIMARY KEY,
    country country NOT NULL,
    provider text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('opened', 'half_opened', 'closed')),
    instance text NOT NULL,
    cause text NOT NULL,
    changed_at timestamptz NOT NULL
);

COMMENT ON TABLE circuit_changes IS
    'Changes of the circuit breakers of all instances, kept longer than events. Overrides are in circuit_override_log.';
COMMENT ON COLUMN circuit_changes.id IS 'A version 7 UUID; also the id of the event, if the change has one';
COMMENT ON COLUMN circuit_changes.changed_at IS 'According to the clock of the instance';

CREATE INDEX circuit_changes_time_idx ON circuit_changes (changed_at);

ALTER TABLE decisions ADD COLUMN risk_components jsonb;
ALTER TABLE decisions_archive ADD COLUMN risk_components jsonb;
COMMENT ON COLUMN decisions.risk_components IS
    'The parts of risk_score, whose sum it is; null without a score and in rows written by earlier versions';
COMMENT ON COLUMN decisions_archive.risk_components IS
    'The parts of risk_score, whose sum it is; null without a score and in rows written by earlier versions';
