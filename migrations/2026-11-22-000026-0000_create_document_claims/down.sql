CREATE OR REPLACE FUNCTION applications_before_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> 'PENDING' THEN
        RAISE EXCEPTION 'an application starts as PENDING, not as %', NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'applications_initial_status', TABLE = 'applications';
    END IF;
    -- Not a CHECK: a dump of old rows must still load.
    IF uuid_v7_time(NEW.id) NOT BETWEEN now() - interval '1 day' AND now() + interval '10 minutes' THEN
        RAISE EXCEPTION 'the id of a new application must be a version 7 UUID of about now'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'applications_id_is_of_now', TABLE = 'applications';
    END IF;
    IF NEW.change_id IS NULL THEN
        NEW.change_id := gen_random_uuid();
        NEW.changed_by := 'sql:' || session_user;
    END IF;
    NEW.version := 1;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;
DROP TRIGGER applications_release_claim ON applications;
DROP FUNCTION release_document_claim;
DROP FUNCTION admit_application;
DROP TABLE document_claims;
