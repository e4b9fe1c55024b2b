ALTER TABLE api_keys
    ADD COLUMN made_by_user uuid REFERENCES users ON DELETE SET NULL,
    ADD COLUMN made_by_key uuid REFERENCES api_keys ON DELETE SET NULL,
    ADD CONSTRAINT api_keys_one_maker CHECK (num_nonnulls(made_by_user, made_by_key) <= 1);

COMMENT ON COLUMN api_keys.made_by_user IS
    'The person who made it. It is revoked when that account is disabled or deleted, or falls below the key''s role. '
    'Null with made_by_key: an operator made it on the machine, and it ends by itself alone.';
COMMENT ON COLUMN api_keys.made_by_key IS 'The key that made it. It ends no later than that key and is revoked with it.';

-- Names are never given twice, so that created_by tells who made the keys of earlier versions.
UPDATE api_keys k SET made_by_user = u.id FROM users u WHERE u.username = k.created_by;
UPDATE api_keys k SET made_by_key = m.id FROM api_keys m WHERE 'key:' || m.name = k.created_by AND m.id <> k.id;

CREATE INDEX api_keys_made_by_user_idx ON api_keys (made_by_user) WHERE made_by_user IS NOT NULL;
CREATE INDEX api_keys_made_by_key_idx ON api_keys (made_by_key) WHERE made_by_key IS NOT NULL;

CREATE FUNCTION api_keys_cap_end() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    maker record;
BEGIN
    IF NEW.made_by_key IS NOT NULL THEN
        SELECT expires_at, revoked_at INTO maker FROM api_keys WHERE id = NEW.made_by_key;
        -- least() ignores nulls: a key without an end made by one with an end gets that end.
        NEW.expires_at := least(NEW.expires_at, maker.expires_at);
        NEW.revoked_at := coalesce(NEW.revoked_at, maker.revoked_at);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION api_keys_cap_end IS 'A key ends no later than the key that made it';

CREATE TRIGGER api_keys_cap_end BEFORE INSERT OR UPDATE OF expires_at, made_by_key ON api_keys
    FOR EACH ROW EXECUTE FUNCTION api_keys_cap_end();

CREATE FUNCTION api_keys_end_descendants() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.revoked_at IS NOT NULL THEN
        UPDATE api_keys SET revoked_at = NEW.revoked_at WHERE made_by_key = NEW.id AND revoked_at IS NULL;
    END IF;
    IF NEW.expires_at IS NOT NULL THEN
        UPDATE api_keys SET expires_at = NEW.expires_at
        WHERE made_by_key = NEW.id AND (expires_at IS NULL OR expires_at > NEW.expires_at);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION api_keys_end_descendants IS 'Revokes and caps the keys that a key has made, and so on down';

CREATE TRIGGER api_keys_end_descendants AFTER UPDATE OF revoked_at, expires_at ON api_keys
    FOR EACH ROW
    WHEN ((NEW.revoked_at, NEW.expires_at) IS DISTINCT FROM (OLD.revoked_at, OLD.expires_at))
    EXECUTE FUNCTION api_keys_end_descendants();

CREATE FUNCTION users_revoke_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        UPDATE api_keys SET revoked_at = clock_timestamp() WHERE made_by_user = OLD.id AND revoked_at IS NULL;
        RETURN OLD;
    END IF;
    UPDATE api_keys SET revoked_at = clock_timestamp()
    WHERE made_by_user = NEW.id AND revoked_at IS NULL AND (NEW.disabled_at IS NOT NULL OR role > NEW.role);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION users_revoke_keys IS 'Revokes the keys of a person who may no longer make them';

CREATE TRIGGER users_revoke_keys AFTER UPDATE ON users
    FOR EACH ROW
    WHEN (NEW.role < OLD.role OR (NEW.disabled_at IS NOT NULL AND OLD.disabled_at IS NULL))
    EXECUTE FUNCTION users_revoke_keys();
-- Before the row is gone, and with it the reference to it.
CREATE TRIGGER users_revoke_keys_of_deleted BEFORE DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION users_revoke_keys();
