-- The audit log names the trace of each change, as jobs and events do.
SET LOCAL lock_timeout = '2s';

ALTER TABLE audit_logs ADD COLUMN traceparent text;
ALTER TABLE audit_logs_archive ADD COLUMN traceparent text;
COMMENT ON COLUMN audit_logs.traceparent IS 'The W3C trace context of the change';
COMMENT ON COLUMN audit_logs_archive.traceparent IS 'The W3C trace context of the change';

CREATE OR REPLACE FUNCTION applications_after_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_logs (application_id, version, action, old_status, new_status, changed_by, change_reason,
                            change_request_id, change_id, traceparent)
    VALUES (NEW.id, NEW.version, 'created', NULL, NEW.status, NEW.changed_by, NEW.change_reason,
            NEW.change_request_id, NEW.change_id, NEW.change_traceparent);
    PERFORM append_event('application.created.v1', NEW, NULL);
    PERFORM enqueue_job('process_credit_application', NEW.id, NEW.country::text, 0::smallint,
                        NEW.change_request_id, NEW.change_traceparent);
    RETURN NULL;
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
    details jsonb := '{}';
BEGIN
    -- The BEFORE trigger increments the version of every change; only a resealed row keeps its version.
    IF NEW.version = OLD.version THEN
        RETURN NULL;
    END IF;
    IF NEW.change_details ->> 'change_id' = NEW.change_id::text THEN
        details := NEW.change_details - 'change_id';
    END IF;
    IF (NEW.requested_amount, NEW.monthly_income, NEW.term_months, NEW.currency, NEW.country_specific_data,
        NEW.full_name, NEW.identity_document, NEW.birth_date, NEW.personal_data)
        IS DISTINCT FROM (OLD.requested_amount, OLD.monthly_income, OLD.term_months, OLD.currency,
        OLD.country_specific_data, OLD.full_name, OLD.identity_document, OLD.birth_date, OLD.personal_data)
    THEN
        details := details || application_changes(OLD, NEW);
    END IF;
    INSERT INTO audit_logs (application_id, version, action, old_status, new_status, changed_by, change_reason,
                            change_request_id, change_id, metadata, traceparent)
    VALUES (NEW.id, NEW.version, what, OLD.status, NEW.status, NEW.changed_by, NEW.change_reason,
            NEW.change_request_id, NEW.change_id, details, NEW.change_traceparent);
    PERFORM append_event('application.' || what || '.v1', NEW, OLD.status);

    IF NEW.status = 'CANCELLED' AND OLD.status <> 'CANCELLED'
        OR OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL THEN
        PERFORM close_job(NEW.id);
    ELSIF OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NULL AND NEW.status IN ('PENDING', 'VALIDATING') THEN
        PERFORM enqueue_job('process_credit_application', NEW.id, NEW.country::text, 0::smallint,
                            NEW.change_request_id, NEW.change_traceparent);
    END IF;
    IF OLD.status = 'UNDER_REVIEW' AND NEW.status <> 'UNDER_REVIEW' THEN
        DELETE FROM provider_retries WHERE application_id = NEW.id;
    END IF;
    RETURN NULL;
END
$$;
