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

CREATE OR REPLACE FUNCTION is_sealed_again(before jsonb, after jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_typeof(before) = 'object' AND jsonb_typeof(after) = 'object', false) AND NOT EXISTS (
        SELECT FROM (SELECT f.key AS field, e.key AS side, e.value FROM jsonb_each(before) f, jsonb_each_text(f.value) e) b
        FULL JOIN (SELECT f.key AS field, e.key AS side, e.value FROM jsonb_each(after) f, jsonb_each_text(f.value) e) a
            USING (field, side)
        WHERE b.value IS DISTINCT FROM a.value
          AND (b.value IS NULL OR a.value IS NULL OR left(a.value, 2) <> '01'))
$$;
COMMENT ON FUNCTION is_sealed_again IS
    'Whether two lists of envelopes have the same entries, and each that differs is of kind 1 now';

CREATE OR REPLACE FUNCTION reseal_security_events(origins bytea[], old_addresses bytea[], new_addresses bytea[]) RETURNS SETOF uuid
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE security_events s SET address = r.sealed_again
    FROM unnest(origins, old_addresses, new_addresses) AS r (origin, sealed, sealed_again)
    WHERE s.origin_id = encode(r.origin, 'hex')::uuid AND s.address = r.sealed
    RETURNING s.id;
$$;

DROP TRIGGER webhook_events_sealed ON webhook_events;
DROP FUNCTION is_of_another_key;
