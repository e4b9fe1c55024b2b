CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9._-]{3,60}$'),
    key_hash bytea NOT NULL CHECK (octet_length(key_hash) = 32),
    role account_role NOT NULL,
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0 AND array_position(scopes, NULL) IS NULL),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);

COMMENT ON TABLE api_keys IS 'Keys of machine clients. The row of a revoked key stays, and with it its name.';
COMMENT ON COLUMN api_keys.name IS 'Never changes and is never given twice: the key acts as the account key:<name>';
COMMENT ON COLUMN api_keys.key_hash IS
    'SHA-256 of the secret part. That is 256 random bits, which nobody can guess, so that a slow hash would add nothing.';
COMMENT ON COLUMN api_keys.scopes IS 'What the key was made for; its role is the ceiling';
COMMENT ON COLUMN api_keys.last_used_at IS 'Written at most every ten minutes';

CREATE FUNCTION api_keys_before_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <> OLD.id OR NEW.name <> OLD.name THEN
        RAISE EXCEPTION 'a key keeps its name' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION api_keys_before_update IS 'Keeps names';

CREATE TRIGGER api_keys_before_update BEFORE UPDATE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION api_keys_before_update();

-- Not for last_used_at: being used is no change.
CREATE TRIGGER api_keys_announce AFTER DELETE OR UPDATE OF key_hash, role, scopes, expires_at, revoked_at ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION announce_accounts();
