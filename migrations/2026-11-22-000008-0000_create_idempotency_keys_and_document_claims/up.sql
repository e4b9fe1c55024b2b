CREATE TABLE idempotency_keys (
    key_digest bytea PRIMARY KEY CHECK (length(key_digest) = 32),
    account text NOT NULL,
    route text NOT NULL,
    fingerprint bytea NOT NULL,
    status smallint NOT NULL,
    reply bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);

COMMENT ON TABLE idempotency_keys IS
    'Responses of writes with an Idempotency-Key, committed together with the write: the same request gets the same '
    'response again. An expired row has no effect and is deleted later.';
COMMENT ON COLUMN idempotency_keys.key_digest IS
    'Keyed digest of account, route and key: a client may put anything into its key';
COMMENT ON COLUMN idempotency_keys.route IS 'Method and path pattern';
COMMENT ON COLUMN idempotency_keys.fingerprint IS
    'Keyed digest of method, path and body: reusing a key for another request is a client error';
COMMENT ON COLUMN idempotency_keys.status IS 'HTTP status of the response';
COMMENT ON COLUMN idempotency_keys.reply IS 'Headers and body of the response, sealed (http/idempotency)';
COMMENT ON COLUMN idempotency_keys.expires_at IS 'By the clock of the instance that wrote it';

CREATE INDEX idempotency_keys_expiry_idx ON idempotency_keys (expires_at);

-- Only the transaction that holds the advisory lock can write the key. The query after taking the lock has a new
-- snapshot, so it sees what the previous holder committed. The function does not wait for the lock: if another
-- transaction holds it, the verdict is in_flight.
CREATE FUNCTION begin_keyed_write(
    key bytea, at timestamptz,
    OUT verdict text, OUT stored_fingerprint bytea, OUT stored_status smallint, OUT stored_reply bytea)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended(encode(key, 'hex'), 25)) THEN
        verdict := 'in_flight';
        RETURN;
    END IF;
    SELECT k.fingerprint, k.status, k.reply INTO stored_fingerprint, stored_status, stored_reply
        FROM idempotency_keys k WHERE k.key_digest = key AND k.expires_at > at;
    verdict := CASE WHEN FOUND THEN 'known' ELSE 'new' END;
END
$$;
COMMENT ON FUNCTION begin_keyed_write IS
    'Takes the key for this transaction: new (it may be written), known (with the stored response), or in_flight in '
    'another transaction';

CREATE FUNCTION store_keyed_reply(
    key bytea, for_account text, for_route text, of_request bytea, reply_status smallint, sealed_reply bytea,
    until timestamptz) RETURNS void
LANGUAGE sql VOLATILE AS $$
    INSERT INTO idempotency_keys AS k (key_digest, account, route, fingerprint, status, reply, expires_at)
    VALUES (key, for_account, for_route, of_request, reply_status, sealed_reply, until)
    ON CONFLICT (key_digest) DO UPDATE SET fingerprint = excluded.fingerprint, status = excluded.status,
        reply = excluded.reply, created_at = excluded.created_at, expires_at = excluded.expires_at;
$$;
COMMENT ON FUNCTION store_keyed_reply IS
    'Stores the response of a write whose key begin_keyed_write reported as new, replacing an expired one';

CREATE TABLE document_claims (
    created_by text NOT NULL,
    document_index bytea NOT NULL,
    application_id uuid NOT NULL,
    released boolean NOT NULL DEFAULT false,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (created_by, document_index)
);

COMMENT ON TABLE document_claims IS
    'One open application per account, country and document within a period. The insert of the application takes the '
    'row. A released or expired row has no effect; it is deleted when it has expired.';
COMMENT ON COLUMN document_claims.document_index IS 'Keyed blind index of country and normalised document';
COMMENT ON COLUMN document_claims.application_id IS 'The application that holds it';
COMMENT ON COLUMN document_claims.released IS 'The application is final or deleted; restoring it takes the claim back';

CREATE INDEX document_claims_expiry_idx ON document_claims (expires_at);

-- A group of applications is inserted by one statement, which calls this for each row before the insert, so a duplicate
-- does not affect the other rows and needs no additional round trip. It never waits for other inserts: it does not wait
-- for the locks of documents and keys. It may wait for a transaction that is changing or deleting the claim. That
-- cannot deadlock, because release_document_claim and the deletion of expired claims skip locked rows.
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
    'Whether this statement may insert an application: admitted, known or in_flight (its Idempotency-Key), duplicate '
    '(of holder), or contended (another transaction is inserting the same document)';

CREATE FUNCTION release_document_claim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A locked claim has expired or was released: another transaction is taking it over or deleting it.
    UPDATE document_claims c
        SET released = NEW.deleted_at IS NOT NULL OR NEW.status IN ('REJECTED', 'CANCELLED', 'COMPLETED')
        WHERE (c.created_by, c.document_index) = (
            SELECT l.created_by, l.document_index FROM document_claims l
            WHERE l.created_by = NEW.created_by AND l.document_index = NEW.document_index
              AND l.application_id = NEW.id FOR UPDATE SKIP LOCKED);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION release_document_claim IS 'Releases the claim of a final or deleted application, or takes it back';

CREATE TRIGGER applications_release_claim AFTER UPDATE ON applications
    FOR EACH ROW WHEN (
        (NEW.deleted_at IS NULL) <> (OLD.deleted_at IS NULL)
        OR NEW.status <> OLD.status AND NEW.status IN ('REJECTED', 'CANCELLED', 'COMPLETED'))
    EXECUTE FUNCTION release_document_claim();

-- Called for each application when its processing begins. In PL/pgSQL its plan is cached. The bounds of the id restrict
-- the search to few partitions.
CREATE FUNCTION applied_elsewhere(application uuid, account text, document bytea, within interval) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM applications o
        WHERE o.document_index = document
          AND o.id < application
          AND o.id >= uuid_v7_floor(uuid_v7_time(application) - within)
          AND o.created_by <> account);
END
$$;
COMMENT ON FUNCTION applied_elsewhere IS
    'Whether another account applied with the same document in the period before an application, whatever its outcome';
