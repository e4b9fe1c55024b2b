-- NOTIFY takes a lock that every notifying commit in the cluster waits for. PostgreSQL sends equal notifications of one
-- transaction once, and Aval writes in groups, so that a group costs one.

CREATE FUNCTION enqueue_job(task text, application uuid, job_priority smallint, request text, trace text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pending_jobs (task_name, application_id, job_args, priority, request_id, traceparent)
    VALUES (task, application, jsonb_build_object('application_id', application), job_priority, request, trace)
    ON CONFLICT DO NOTHING;
    PERFORM pg_notify('aval_jobs', '');
END
$$;
COMMENT ON FUNCTION enqueue_job IS 'Queues a task for an application, unless one is already active';

CREATE FUNCTION close_job(application uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH closed AS (DELETE FROM pending_jobs WHERE application_id = application RETURNING *)
    INSERT INTO job_history
        (id, task_name, application_id, result, attempt, request_id, traceparent, error_type, error_message, created_at)
    SELECT id, task_name, application_id, 'superseded', attempt, request_id, traceparent, error_type, error_message,
           created_at
    FROM closed;
END
$$;
COMMENT ON FUNCTION close_job IS 'Ends the active job of an application that no longer needs it';

CREATE FUNCTION append_event(event text, app applications, previous application_status)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox (type, subject, request_id, traceparent, data)
    VALUES (event, app.id, app.change_request_id, app.change_traceparent, jsonb_build_object(
        'id', app.id,
        'country', app.country,
        'status', app.status,
        'previous_status', previous,
        'risk_score', app.risk_score::text,
        'version', app.version,
        'created_by', app.created_by,
        'updated_at', app.updated_at));
    PERFORM pg_notify('aval_outbox', '');
END
$$;
COMMENT ON FUNCTION append_event IS 'Writes an event about an application to the outbox';

CREATE FUNCTION applications_before_insert() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE FUNCTION applications_after_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_logs (application_id, version, action, old_status, new_status, changed_by, change_reason,
                            change_request_id, change_id)
    VALUES (NEW.id, NEW.version, 'created', NULL, NEW.status, NEW.changed_by, NEW.change_reason,
            NEW.change_request_id, NEW.change_id);
    PERFORM append_event('application.created.v1', NEW, NULL);
    PERFORM enqueue_job('process_credit_application', NEW.id, 0::smallint, NEW.change_request_id,
                        NEW.change_traceparent);
    RETURN NULL;
END
$$;

-- The same table as src/domain/status.rs; a test holds one against the other.
CREATE FUNCTION status_may_become(old_status application_status, new_status application_status) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (old_status, new_status) IN (
        ('PENDING', 'VALIDATING'),
        ('PENDING', 'CANCELLED'),
        ('VALIDATING', 'APPROVED'),
        ('VALIDATING', 'REJECTED'),
        ('VALIDATING', 'UNDER_REVIEW'),
        ('UNDER_REVIEW', 'APPROVED'),
        ('UNDER_REVIEW', 'REJECTED'),
        ('APPROVED', 'COMPLETED'));
COMMENT ON FUNCTION status_may_become IS 'The status machine';

CREATE FUNCTION applications_before_update() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE FUNCTION applications_after_update() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE FUNCTION applications_before_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'applications are deleted by setting deleted_at'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'applications_soft_delete_only', TABLE = 'applications';
END
$$;

CREATE TRIGGER applications_before_insert BEFORE INSERT ON applications
    FOR EACH ROW EXECUTE FUNCTION applications_before_insert();
CREATE TRIGGER applications_after_insert AFTER INSERT ON applications
    FOR EACH ROW EXECUTE FUNCTION applications_after_insert();
CREATE TRIGGER applications_before_update BEFORE UPDATE ON applications
    FOR EACH ROW EXECUTE FUNCTION applications_before_update();
CREATE TRIGGER applications_after_update AFTER UPDATE ON applications
    FOR EACH ROW EXECUTE FUNCTION applications_after_update();
CREATE TRIGGER applications_before_delete BEFORE DELETE ON applications
    FOR EACH ROW EXECUTE FUNCTION applications_before_delete();
