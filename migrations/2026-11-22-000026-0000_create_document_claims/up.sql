CREATE TABLE document_claims (
    created_by text NOT NULL,
    document_index bytea NOT NULL,
    application_id uuid NOT NULL,
    released boolean NOT NULL DEFAULT false,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (created_by, document_index)
);

COMMENT ON TABLE document_claims IS
    'One open application for each account, country and document within a time: the row is taken by the application''s '
    'own insert. A released or expired one counts as absent; the housekeeper deletes it when it has expired.';
COMMENT ON COLUMN document_claims.document_index IS 'Keyed blind index of country and normalised document';
COMMENT ON COLUMN document_claims.application_id IS 'The application that holds it';
COMMENT ON COLUMN document_claims.released IS 'The application is final or deleted; restoring it takes the claim back';

CREATE INDEX document_claims_expiry_idx ON document_claims (expires_at);

-- A group of applications is one statement: each row is judged here, before it is inserted, so that a duplicate fails
-- alone and costs no round trip. Other inserts are never waited for: the locks of documents and keys are tried. The one
-- wait is for a transaction that is changing or deleting the claim itself at this moment. It cannot become a deadlock:
-- release_document_claim and the housekeeper, who do so, skip claims that are locked.
CREATE FUNCTION admit_application(
    application uuid, account text, document bytea, claim_until timestamptz,
    key bytea, route text, request_fingerprint bytea, reply_status smallint, reply bytea, key_until timestamptz,
    OUT verdict text, OUT holder uuid,
    OUT stored_fingerprint bytea, OUT stored_status smallint, OUT stored_reply bytea)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    made timestamptz := uuid_v7_time(application);
BEGIN
    IF key IS NOT NULL THEN
        SELECT b.* INTO verdict, stored_fingerprint, stored_status, stored_reply FROM begin_keyed_write(key, made) b;
        IF verdict <> 'new' THEN
            RETURN;
        END IF;
    END IF;
    IF claim_until IS NOT NULL THEN
        IF NOT pg_try_advisory_xact_lock(hashtextextended(account || ' ' || encode(document, 'hex'), 26)) THEN
            verdict := 'contended';
            RETURN;
        END IF;
        INSERT INTO document_claims (created_by, document_index, application_id, expires_at)
            VALUES (account, document, application, claim_until) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            UPDATE document_claims c
                SET application_id = application, expires_at = claim_until, released = false
                WHERE c.created_by = account AND c.document_index = document
                  AND (c.released OR c.expires_at <= made OR c.application_id = application);
            IF NOT FOUND THEN
                verdict := 'duplicate';
                SELECT c.application_id INTO holder FROM document_claims c
                    WHERE c.created_by = account AND c.document_index = document;
                RETURN;
            END IF;
        END IF;
    END IF;
    IF key IS NOT NULL THEN
        PERFORM store_keyed_reply(key, account, route, request_fingerprint, reply_status, reply, key_until);
    END IF;
    verdict := 'admitted';
END
$$;
COMMENT ON FUNCTION admit_application IS
    'Whether an application may be inserted by this statement: admitted, known or in_flight (its Idempotency-Key), '
    'duplicate (of holder) or contended (the same document is being applied for at this moment)';

CREATE FUNCTION release_document_claim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A claim that somebody has locked has expired or was released: it is being taken over or deleted.
    UPDATE document_claims c
        SET released = NEW.deleted_at IS NOT NULL OR NEW.status IN ('REJECTED', 'CANCELLED', 'COMPLETED')
        WHERE (c.created_by, c.document_index) = (
            SELECT l.created_by, l.document_index FROM document_claims l
            WHERE l.created_by = NEW.created_by AND l.document_index = NEW.document_index
              AND l.application_id = NEW.id FOR UPDATE SKIP LOCKED);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION release_document_claim IS 'Lets go of the claim of an application that is over, or takes it back';

CREATE TRIGGER applications_release_claim AFTER UPDATE ON applications
    FOR EACH ROW WHEN (
        (NEW.deleted_at IS NULL) <> (OLD.deleted_at IS NULL)
        OR NEW.status <> OLD.status AND NEW.status IN ('REJECTED', 'CANCELLED', 'COMPLETED'))
    EXECUTE FUNCTION release_document_claim();

-- The answer to a new application is a function of the request alone, so that it can be stored with it.
CREATE OR REPLACE FUNCTION applications_before_insert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    made timestamptz := uuid_v7_time(NEW.id);
BEGIN
    IF NEW.status <> 'PENDING' THEN
        RAISE EXCEPTION 'an application starts as PENDING, not as %', NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'applications_initial_status', TABLE = 'applications';
    END IF;
    -- Not a CHECK: a dump of old rows must still load.
    IF made NOT BETWEEN now() - interval '1 day' AND now() + interval '10 minutes' THEN
        RAISE EXCEPTION 'the id of a new application must be a version 7 UUID of about now'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'applications_id_is_of_now', TABLE = 'applications';
    END IF;
    IF NEW.change_id IS NULL THEN
        NEW.change_id := gen_random_uuid();
        NEW.changed_by := 'sql:' || session_user;
    END IF;
    NEW.version := 1;
    NEW.updated_at := made;
    RETURN NEW;
END
$$;
