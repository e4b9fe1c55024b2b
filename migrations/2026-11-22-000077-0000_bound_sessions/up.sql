ALTER TABLE refresh_tokens
    ADD COLUMN session_started_at timestamptz,
    ADD COLUMN uses integer NOT NULL DEFAULT 0;

COMMENT ON COLUMN refresh_tokens.session_started_at IS
    'When the log-in was that the family descends from: a session ends a fixed time after it, however often it is renewed';
COMMENT ON COLUMN refresh_tokens.uses IS 'How often the token was exchanged; more than once only within the grace';

UPDATE refresh_tokens t SET session_started_at = f.started_at
FROM (SELECT family, min(issued_at) AS started_at FROM refresh_tokens GROUP BY family) f
WHERE f.family = t.family;

-- A hash that was computed again belongs to the same password: it ends neither tokens nor sessions.
CREATE OR REPLACE FUNCTION users_before_update() RETURNS trigger LANGUAGE plpgsql AS $$
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

DROP TRIGGER users_end_sessions ON users;
CREATE TRIGGER users_end_sessions AFTER UPDATE ON users
    FOR EACH ROW
    WHEN ((NEW.password_hash <> OLD.password_hash AND NOT is_same_password(NEW.id))
        OR (NEW.disabled_at IS NOT NULL AND OLD.disabled_at IS NULL))
    EXECUTE FUNCTION users_end_sessions();
