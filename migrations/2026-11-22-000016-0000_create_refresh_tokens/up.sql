CREATE TABLE refresh_tokens (
    id uuid PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    family uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > issued_at),
    rotated_at timestamptz,
    replaced_by uuid,
    revoked_at timestamptz,
    CHECK ((rotated_at IS NULL) = (replaced_by IS NULL))
);

COMMENT ON TABLE refresh_tokens IS 'Refresh tokens: each is good for one use and replaced by the next of its family';
COMMENT ON COLUMN refresh_tokens.token_hash IS 'SHA-256; the token itself is 256 random bits and stands nowhere';
COMMENT ON COLUMN refresh_tokens.family IS 'The tokens that descend from one login: the session. They end together.';
COMMENT ON COLUMN refresh_tokens.rotated_at IS 'When it was used first. A use after the grace ends its family.';
COMMENT ON COLUMN refresh_tokens.replaced_by IS 'The token that its first use gave';

CREATE INDEX refresh_tokens_family_idx ON refresh_tokens (family) WHERE revoked_at IS NULL;
CREATE INDEX refresh_tokens_user_idx ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_expiry_idx ON refresh_tokens (expires_at);

CREATE FUNCTION users_end_sessions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE refresh_tokens SET revoked_at = clock_timestamp() WHERE user_id = NEW.id AND revoked_at IS NULL;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION users_end_sessions IS 'A disabled account and a changed password leave no session behind';

CREATE TRIGGER users_end_sessions AFTER UPDATE ON users
    FOR EACH ROW
    WHEN (NEW.password_hash <> OLD.password_hash OR (NEW.disabled_at IS NOT NULL AND OLD.disabled_at IS NULL))
    EXECUTE FUNCTION users_end_sessions();
