CREATE OR REPLACE FUNCTION applications_before_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <> OLD.id OR NEW.country <> OLD.country OR NEW.created_by <> OLD.created_by THEN
        RAISE EXCEPTION 'id, country and creator of an application never change'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'applications_identity', TABLE = 'applications';
    END IF;
    IF NEW.status <> OLD.status AND NOT status_may_become(OLD.status, NEW.status) THEN
        RAISE EXCEPTION 'an application cannot go from % to %', OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'applications_status_transition', TABLE = 'applications';
    END IF;
    IF NEW.change_id IS NOT DISTINCT FROM OLD.change_id THEN
        NEW.change_id := gen_random_uuid();
        NEW.changed_by := 'sql:' || session_user;
        NEW.change_reason := NULL;
        NEW.change_request_id := NULL;
        NEW.change_traceparent := NULL;
    END IF;
    NEW.version := OLD.version + 1;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION applications_after_update() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    what audit_action := CASE
        WHEN NEW.status <> OLD.status THEN 'status_changed'
        WHEN OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL THEN 'deleted'
        WHEN OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NULL THEN 'restored'
        WHEN NEW.banking_data IS DISTINCT FROM OLD.banking_data
            OR NEW.risk_score IS DISTINCT FROM OLD.risk_score THEN 'evaluated'
        ELSE 'data_changed'
    END;
BEGIN
    INSERT INTO audit_logs (application_id, version, action, old_status, new_status, changed_by, change_reason,
                            change_request_id, change_id)
    VALUES (NEW.id, NEW.version, what, OLD.status, NEW.status, NEW.changed_by, NEW.change_reason,
            NEW.change_request_id, NEW.change_id);
    PERFORM append_event('application.' || what || '.v1', NEW, OLD.status);

    IF NEW.status = 'CANCELLED' AND OLD.status <> 'CANCELLED'
        OR OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL THEN
        PERFORM close_job(NEW.id);
    ELSIF OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NULL AND NEW.status IN ('PENDING', 'VALIDATING') THEN
        PERFORM enqueue_job('process_credit_application', NEW.id, 0::smallint, NEW.change_request_id,
                            NEW.change_traceparent);
    END IF;
    IF OLD.status = 'UNDER_REVIEW' AND NEW.status <> 'UNDER_REVIEW' THEN
        DELETE FROM provider_retries WHERE application_id = NEW.id;
    END IF;
    RETURN NULL;
END
$$;

DROP INDEX applications_document_index_idx;

COMMENT ON COLUMN applications.full_name IS 'Personal data in an envelope (storage/seal.rs), never in the clear';
COMMENT ON COLUMN applications.identity_document IS 'Personal data in an envelope (storage/seal.rs), never in the clear';
COMMENT ON COLUMN applications.country_specific_data IS NULL;

-- Sealed birth dates are lost: the database cannot open them.
ALTER TABLE applications
    DROP COLUMN document_index,
    DROP COLUMN birth_date;
