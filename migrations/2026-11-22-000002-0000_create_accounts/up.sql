CREATE TYPE account_role AS ENUM ('user', 'analyst', 'admin');
COMMENT ON TYPE account_role IS 'What an account may do; each role includes the ones before it';

CREATE TABLE users (
    id uuid PRIMARY KEY,
    username text NOT NULL UNIQUE CHECK (username ~ '^[a-z0-9._-]{3,64}$'),
    password_hash text NOT NULL CHECK (password_hash LIKE '$argon2id$%'),
    role account_role NOT NULL,
    token_version bigint NOT NULL DEFAULT 0,
    disabled_at timestamptz,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON TABLE users IS 'People who may log in';
COMMENT ON COLUMN users.username IS
    'Never changes: applications, audit rows and tokens refer to it. The permitted characters keep personal data out '
    'of it.';
COMMENT ON COLUMN users.password_hash IS 'Argon2id in PHC string format, with its own salt and costs';
COMMENT ON COLUMN users.token_version IS
    'Access tokens carry it and are refused when it has increased: after a logout, another role, another password, or '
    'disabling';
COMMENT ON COLUMN users.created_by IS 'The account that created it, or a part of the system';

-- Used under a lock to check that an admin who is disabled or demoted is not the last one.
CREATE INDEX users_enabled_admins_idx ON users (id) WHERE role = 'admin' AND disabled_at IS NULL;

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
    session_started_at timestamptz NOT NULL,
    uses integer NOT NULL DEFAULT 0,
    CHECK ((rotated_at IS NULL) = (replaced_by IS NULL))
);

COMMENT ON TABLE refresh_tokens IS 'Refresh tokens: each is used once and replaced by the next of its family';
COMMENT ON COLUMN refresh_tokens.token_hash IS 'SHA-256; the token itself is 256 random bits and is not stored';
COMMENT ON COLUMN refresh_tokens.family IS 'The tokens that descend from one login: the session. They end together.';
COMMENT ON COLUMN refresh_tokens.rotated_at IS 'When it was first used. A use after the grace period ends its family.';
COMMENT ON COLUMN refresh_tokens.replaced_by IS 'The token that replaced it at its first use';
COMMENT ON COLUMN refresh_tokens.session_started_at IS
    'When the login was: a session ends a fixed time after it, however often it is renewed';
COMMENT ON COLUMN refresh_tokens.uses IS
    'How often the token was exchanged; more than once only within the grace period';

CREATE INDEX refresh_tokens_family_idx ON refresh_tokens (family) WHERE revoked_at IS NULL;
CREATE INDEX refresh_tokens_user_idx ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_expiry_idx ON refresh_tokens (expires_at);

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
    last_used_at timestamptz,
    made_by_user uuid REFERENCES users ON DELETE SET NULL,
    made_by_key uuid REFERENCES api_keys ON DELETE SET NULL,
    requests_per_minute integer CHECK (requests_per_minute BETWEEN 1 AND 100000),
    applications_per_minute integer CHECK (applications_per_minute BETWEEN 1 AND 100000),
    CONSTRAINT api_keys_one_maker CHECK (num_nonnulls(made_by_user, made_by_key) <= 1)
);

COMMENT ON TABLE api_keys IS 'Keys of machine clients. The row of a revoked key stays, so its name is never reused.';
COMMENT ON COLUMN api_keys.name IS 'Never changes and is never reused: the key acts as the account key:<name>';
COMMENT ON COLUMN api_keys.key_hash IS
    'SHA-256 of the secret part. Those are 256 random bits, so a slow hash would add nothing.';
COMMENT ON COLUMN api_keys.scopes IS 'What the key may be used for, within the limits of its role';
COMMENT ON COLUMN api_keys.last_used_at IS 'Written at most every ten minutes';
COMMENT ON COLUMN api_keys.made_by_user IS
    'The user who created it. The key is revoked when that account is disabled or deleted, or falls below the key''s '
    'role. Null together with made_by_key: an operator created it on the machine, and no other account ends it.';
COMMENT ON COLUMN api_keys.made_by_key IS
    'The key that created it. It ends no later than that key and is revoked with it.';
COMMENT ON COLUMN api_keys.requests_per_minute IS 'Null: as configured for keys ([limits.standard])';
COMMENT ON COLUMN api_keys.applications_per_minute IS 'Null: as configured for keys ([limits.create])';

CREATE INDEX api_keys_made_by_user_idx ON api_keys (made_by_user) WHERE made_by_user IS NOT NULL;
CREATE INDEX api_keys_made_by_key_idx ON api_keys (made_by_key) WHERE made_by_key IS NOT NULL;

CREATE TABLE ws_tickets (
    ticket_hash bytea PRIMARY KEY CHECK (octet_length(ticket_hash) = 32),
    user_id uuid REFERENCES users ON DELETE CASCADE,
    token_version bigint,
    api_key_id uuid REFERENCES api_keys ON DELETE CASCADE,
    session_until timestamptz,
    expires_at timestamptz NOT NULL,
    CHECK (num_nonnulls(user_id, api_key_id) = 1),
    CHECK ((user_id IS NULL) = (token_version IS NULL))
);

COMMENT ON TABLE ws_tickets IS
    'Tickets that open one WebSocket each. A ticket may appear in a URL and so in logs: it is short-lived and used '
    'once.';
COMMENT ON COLUMN ws_tickets.ticket_hash IS 'SHA-256; the ticket itself is 256 random bits';
COMMENT ON COLUMN ws_tickets.token_version IS 'Of the access token that requested the ticket';
COMMENT ON COLUMN ws_tickets.session_until IS
    'When the access token or key that requested it expires, and with it the WebSocket; null: never';

CREATE INDEX ws_tickets_expiry_idx ON ws_tickets (expires_at);

CREATE TABLE login_addresses (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    address_digest bytea NOT NULL CHECK (octet_length(address_digest) = 32),
    last_login_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, address_digest)
);

COMMENT ON TABLE login_addresses IS
    'Addresses that accounts have logged in from. A correct password from such an address is accepted while others are '
    'guessing.';
COMMENT ON COLUMN login_addresses.address_digest IS 'Keyed hash of the address (for IPv6, of its 64-bit network)';

CREATE INDEX login_addresses_expiry_idx ON login_addresses (last_login_at);

-- A sign-in rehashes the password if the configured costs have changed.
CREATE FUNCTION is_same_password(account uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_setting('aval.same_password', true) = account::text, false);
$$;
COMMENT ON FUNCTION is_same_password IS 'Whether the transaction only rehashes the account''s password';

-- Changes by plain SQL also revoke tokens. A rehash of the same password revokes no tokens and ends no sessions.
CREATE FUNCTION users_before_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <> OLD.id OR NEW.username <> OLD.username THEN
        RAISE EXCEPTION 'an account keeps its name' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.token_version < OLD.token_version THEN
        RAISE EXCEPTION 'a token version never goes back' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.token_version = OLD.token_version
        AND ((NEW.role, NEW.disabled_at) IS DISTINCT FROM (OLD.role, OLD.disabled_at)
            OR (NEW.password_hash <> OLD.password_hash AND NOT is_same_password(NEW.id)))
    THEN
        NEW.token_version := OLD.token_version + 1;
    END IF;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION users_before_update IS 'Keeps names unchanged, and ends access tokens by a new token version';

CREATE TRIGGER users_before_update BEFORE UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION users_before_update();

CREATE FUNCTION users_end_sessions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE refresh_tokens SET revoked_at = clock_timestamp() WHERE user_id = NEW.id AND revoked_at IS NULL;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION users_end_sessions IS 'Ends all sessions of an account that is disabled or gets another password';

CREATE TRIGGER users_end_sessions AFTER UPDATE ON users
    FOR EACH ROW
    WHEN ((NEW.password_hash <> OLD.password_hash AND NOT is_same_password(NEW.id))
        OR (NEW.disabled_at IS NOT NULL AND OLD.disabled_at IS NULL))
    EXECUTE FUNCTION users_end_sessions();

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
COMMENT ON FUNCTION users_revoke_keys IS 'Revokes the keys of a user who may no longer create them';

CREATE TRIGGER users_revoke_keys AFTER UPDATE ON users
    FOR EACH ROW
    WHEN (NEW.role < OLD.role OR (NEW.disabled_at IS NOT NULL AND OLD.disabled_at IS NULL))
    EXECUTE FUNCTION users_revoke_keys();

-- Must run before the row is deleted: after that, ON DELETE SET NULL has cleared the references to it.
CREATE TRIGGER users_revoke_keys_of_deleted BEFORE DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION users_revoke_keys();

CREATE FUNCTION api_keys_before_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <> OLD.id OR NEW.name <> OLD.name THEN
        RAISE EXCEPTION 'a key keeps its name' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION api_keys_before_update IS 'Keeps names unchanged';

CREATE TRIGGER api_keys_before_update BEFORE UPDATE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION api_keys_before_update();

CREATE FUNCTION api_keys_cap_end() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    maker record;
BEGIN
    IF NEW.made_by_key IS NOT NULL THEN
        SELECT expires_at, revoked_at INTO maker FROM api_keys WHERE id = NEW.made_by_key;
        -- least() ignores nulls: a key without an expiry gets the expiry of the key that created it.
        NEW.expires_at := least(NEW.expires_at, maker.expires_at);
        NEW.revoked_at := coalesce(NEW.revoked_at, maker.revoked_at);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION api_keys_cap_end IS 'A key ends no later than the key that created it';

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
COMMENT ON FUNCTION api_keys_end_descendants IS
    'Passes the revocation and the expiry of a key on to the keys it created, recursively';

CREATE TRIGGER api_keys_end_descendants AFTER UPDATE OF revoked_at, expires_at ON api_keys
    FOR EACH ROW
    WHEN ((NEW.revoked_at, NEW.expires_at) IS DISTINCT FROM (OLD.revoked_at, OLD.expires_at))
    EXECUTE FUNCTION api_keys_end_descendants();

CREATE FUNCTION announce_accounts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- PostgreSQL sends identical notifications of a transaction only once.
    PERFORM pg_notify('aval_accounts', '');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION announce_accounts IS 'Notifies every instance that accounts have changed';

CREATE TRIGGER users_announce AFTER UPDATE OR DELETE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION announce_accounts();

-- Updates of last_used_at are not announced, because using a key does not change it.
CREATE TRIGGER api_keys_announce AFTER DELETE OR UPDATE OF key_hash, role, scopes, expires_at, revoked_at ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION announce_accounts();
