CREATE TYPE account_role AS ENUM ('user', 'analyst', 'admin');
COMMENT ON TYPE account_role IS 'What an account may do; each role may do what the ones before it may';

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
    'Never changes: it stands in applications, audit rows and tokens. The characters keep personal data out of it.';
COMMENT ON COLUMN users.password_hash IS 'Argon2id in PHC string format, with its own salt and costs';
COMMENT ON COLUMN users.token_version IS
    'Access tokens carry it and are refused when it has moved on: after a logout, another role, another password, or disabling';
COMMENT ON COLUMN users.created_by IS 'The account that made it, or the part of the system';

-- The last enabled admin is looked for under lock whenever one goes.
CREATE INDEX users_enabled_admins_idx ON users (id) WHERE role = 'admin' AND disabled_at IS NULL;

-- What ends tokens does so for plain SQL too.
CREATE FUNCTION users_before_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <> OLD.id OR NEW.username <> OLD.username THEN
        RAISE EXCEPTION 'an account keeps its name' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.token_version < OLD.token_version THEN
        RAISE EXCEPTION 'a token version never goes back' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.token_version = OLD.token_version
        AND (NEW.role, NEW.password_hash, NEW.disabled_at) IS DISTINCT FROM (OLD.role, OLD.password_hash, OLD.disabled_at)
    THEN
        NEW.token_version := OLD.token_version + 1;
    END IF;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION users_before_update IS 'Keeps names, and ends access tokens by a new token version';

CREATE TRIGGER users_before_update BEFORE UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION users_before_update();

CREATE FUNCTION announce_accounts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- One and the same text, so that PostgreSQL sends it once for each transaction.
    PERFORM pg_notify('aval_accounts', '');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION announce_accounts IS 'Tells every instance to look at accounts anew';

CREATE TRIGGER users_announce AFTER UPDATE OR DELETE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION announce_accounts();
