DROP TRIGGER users_end_sessions ON users;
CREATE TRIGGER users_end_sessions AFTER UPDATE ON users
    FOR EACH ROW
    WHEN (NEW.password_hash <> OLD.password_hash OR (NEW.disabled_at IS NOT NULL AND OLD.disabled_at IS NULL))
    EXECUTE FUNCTION users_end_sessions();

CREATE OR REPLACE FUNCTION users_before_update() RETURNS trigger LANGUAGE plpgsql AS $$
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

ALTER TABLE refresh_tokens DROP COLUMN session_started_at, DROP COLUMN uses;
