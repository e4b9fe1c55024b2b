ALTER TABLE applications ADD COLUMN personal_data bytea, ADD COLUMN change_details jsonb;
ALTER TABLE applications_archive ADD COLUMN personal_data bytea, ADD COLUMN change_details jsonb;

COMMENT ON COLUMN applications.personal_data IS
    'The personal members of the country''s data, as JSON in an envelope (storage/seal); null when there are none';
COMMENT ON COLUMN applications.change_details IS
    'What the last change tells its audit row beside the reason. It counts only with the change whose change_id it names';
COMMENT ON COLUMN applications.country_specific_data IS
    'The members of the country''s data that are not personal; birth_date and personal_data hold the others, sealed';
COMMENT ON COLUMN applications_archive.personal_data IS
    'The personal members of the country''s data, as JSON in an envelope (storage/seal); null when there are none';
COMMENT ON COLUMN applications_archive.change_details IS
    'What the last change tells its audit row beside the reason. It counts only with the change whose change_id it names';
COMMENT ON COLUMN audit_logs.metadata IS
    'changes: old and new value of each member that changed, by JSON pointer; sealed: old and new envelope, in hex, of each '
    'sealed column that changed; internal_note: what staff wrote for staff; reason_is_public: whether the applicant may '
    'read the reason';

CREATE FUNCTION application_members(app applications) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
            '/requested_amount', app.requested_amount::text,
            '/monthly_income', app.monthly_income::text,
            '/term_months', app.term_months,
            '/currency', app.currency)
        || coalesce((
            SELECT jsonb_object_agg(
                '/country_specific_data/' || replace(replace(m.key, '~', '~0'), '/', '~1'), m.value)
            FROM jsonb_each(app.country_specific_data) m), '{}')
$$;
COMMENT ON FUNCTION application_members IS 'What people can change of an application and is in the clear, by JSON pointer';

CREATE FUNCTION application_envelopes(app applications) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'full_name', encode(app.full_name, 'hex'),
        'identity_document', encode(app.identity_document, 'hex'),
        'birth_date', encode(app.birth_date, 'hex'),
        'personal_data', encode(app.personal_data, 'hex'))
$$;
COMMENT ON FUNCTION application_envelopes IS 'The sealed columns of an application, in hex, by name';

CREATE FUNCTION differences(before jsonb, after jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(key, jsonb_build_object('old', b.value, 'new', a.value)), '{}')
    FROM jsonb_each(before) b FULL JOIN jsonb_each(after) a USING (key)
    WHERE b.value IS DISTINCT FROM a.value
$$;
COMMENT ON FUNCTION differences IS 'The members in which two objects differ, each with its old and new value; null for absent';

CREATE FUNCTION application_changes(before applications, after applications) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    sealed jsonb := differences(application_envelopes(before), application_envelopes(after));
    changes jsonb := differences(application_members(before), application_members(after));
BEGIN
    RETURN CASE changes WHEN '{}' THEN '{}' ELSE jsonb_build_object('changes', changes) END
        || CASE sealed WHEN '{}' THEN '{}' ELSE jsonb_build_object('sealed', sealed) END;
END
$$;
COMMENT ON FUNCTION application_changes IS
    'Old and new values of what a change changed: in the clear, or as envelopes, which need no key to be copied';

-- As it was, but that personal members may be sealed again too.
CREATE OR REPLACE FUNCTION applications_before_update() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    resealed record;
    kept jsonb;
BEGIN
    -- Sealing again under another key is not a change: no version, no audit row, no event. It passes only when the
    -- envelopes and the blind index are all that changes, and each new envelope is of kind 1. Personal members that
    -- earlier versions kept in the clear among the country's data may move into their envelopes.
    IF (NEW.full_name, NEW.identity_document, NEW.birth_date, NEW.document_index, NEW.personal_data)
        IS DISTINCT FROM (OLD.full_name, OLD.identity_document, OLD.birth_date, OLD.document_index, OLD.personal_data)
        AND (NEW.full_name = OLD.full_name OR substring(NEW.full_name FOR 1) = '\x01')
        AND (NEW.identity_document = OLD.identity_document OR substring(NEW.identity_document FOR 1) = '\x01')
        AND (NEW.birth_date IS NOT DISTINCT FROM OLD.birth_date OR substring(NEW.birth_date FOR 1) = '\x01')
        AND (NEW.personal_data IS NOT DISTINCT FROM OLD.personal_data OR substring(NEW.personal_data FOR 1) = '\x01')
    THEN
        resealed := OLD;
        resealed.full_name := NEW.full_name;
        resealed.identity_document := NEW.identity_document;
        resealed.document_index := NEW.document_index;
        -- Not computed yet in NEW; it follows from the id.
        resealed.created_at := NEW.created_at;
        IF OLD.birth_date IS NOT NULL THEN
            resealed.birth_date := NEW.birth_date;
        ELSIF OLD.country_specific_data ? 'birth_date' AND NEW.birth_date IS NOT NULL THEN
            resealed.birth_date := NEW.birth_date;
            resealed.country_specific_data := OLD.country_specific_data - 'birth_date';
        END IF;
        SELECT coalesce(jsonb_object_agg(m.key, m.value), '{}') INTO kept
            FROM jsonb_each(resealed.country_specific_data) m WHERE NEW.country_specific_data ? m.key;
        IF NEW.personal_data IS NOT NULL
            AND (OLD.personal_data IS NOT NULL OR kept <> resealed.country_specific_data) THEN
            resealed.personal_data := NEW.personal_data;
            IF NEW.personal_data <> coalesce(OLD.personal_data, '') THEN
                resealed.country_specific_data := kept;
            END IF;
        END IF;
        IF NEW IS NOT DISTINCT FROM resealed THEN
            RETURN NEW;
        END IF;
    END IF;
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

-- As it was, but that the audit row keeps old and new values, and what the change says beside its reason.
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
    -- The trigger before gives every change a version, and only what was sealed again keeps its own.
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
                            change_request_id, change_id, metadata)
    VALUES (NEW.id, NEW.version, what, OLD.status, NEW.status, NEW.changed_by, NEW.change_reason,
            NEW.change_request_id, NEW.change_id, details);
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

-- The envelopes of an audit row may be sealed again, and nothing else of it ever changes.
CREATE FUNCTION is_sealed_again(before jsonb, after jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_typeof(before) = 'object' AND jsonb_typeof(after) = 'object', false) AND NOT EXISTS (
        SELECT FROM (SELECT f.key AS field, e.key AS side, e.value FROM jsonb_each(before) f, jsonb_each_text(f.value) e) b
        FULL JOIN (SELECT f.key AS field, e.key AS side, e.value FROM jsonb_each(after) f, jsonb_each_text(f.value) e) a
            USING (field, side)
        WHERE b.value IS DISTINCT FROM a.value
          AND (b.value IS NULL OR a.value IS NULL OR left(a.value, 2) <> '01'))
$$;
COMMENT ON FUNCTION is_sealed_again IS
    'Whether two lists of envelopes have the same entries, and each that differs is of kind 1 now';

DROP TRIGGER audit_logs_append_only ON audit_logs;
CREATE TRIGGER audit_logs_append_only BEFORE DELETE ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION refuse_change('audit_logs_append_only');
CREATE TRIGGER audit_logs_no_update BEFORE UPDATE ON audit_logs
    FOR EACH ROW WHEN (NOT (
        (NEW.id, NEW.application_id, NEW.version, NEW.action, NEW.old_status, NEW.new_status, NEW.changed_by,
         NEW.change_reason, NEW.change_request_id, NEW.change_id, NEW.created_at, NEW.metadata - 'sealed')
        IS NOT DISTINCT FROM
        (OLD.id, OLD.application_id, OLD.version, OLD.action, OLD.old_status, OLD.new_status, OLD.changed_by,
         OLD.change_reason, OLD.change_request_id, OLD.change_id, OLD.created_at, OLD.metadata - 'sealed')
        AND is_sealed_again(OLD.metadata -> 'sealed', NEW.metadata -> 'sealed')))
    EXECUTE FUNCTION refuse_change('audit_logs_append_only');

-- The user that serves may not update an append-only table; this is the one way, and it can change envelopes alone.
CREATE FUNCTION reseal_audit_log(application uuid, of_version bigint, found jsonb, resealed jsonb) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH done AS (
        UPDATE audit_logs SET metadata = jsonb_set(metadata, '{sealed}', resealed)
        WHERE application_id = application AND version = of_version AND metadata -> 'sealed' = found
        RETURNING 1)
    SELECT count(*) FROM done;
$$;
COMMENT ON FUNCTION reseal_audit_log IS
    'Replaces the envelopes of an audit row, if they still are those that were found; returns the number of rows';
