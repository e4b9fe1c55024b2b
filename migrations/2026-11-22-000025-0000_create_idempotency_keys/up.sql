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
    'Answers of writes that came with an Idempotency-Key, committed together with the write: the same request is '
    'answered the same way again. An expired row counts as absent and is deleted by the housekeeper.';
COMMENT ON COLUMN idempotency_keys.key_digest IS
    'Keyed digest of account, route and key: a client may have put anything into its key';
COMMENT ON COLUMN idempotency_keys.route IS 'Method and path pattern';
COMMENT ON COLUMN idempotency_keys.fingerprint IS
    'Keyed digest of method, path and body: the same key with another request is a mistake of the client';
COMMENT ON COLUMN idempotency_keys.status IS 'The answer''s HTTP status';
COMMENT ON COLUMN idempotency_keys.reply IS 'The answer''s headers and body, sealed (http/idempotency)';
COMMENT ON COLUMN idempotency_keys.expires_at IS 'By the clock of the instance that wrote it';

CREATE INDEX idempotency_keys_expiry_idx ON idempotency_keys (expires_at);

-- Who holds the lock is the only one that can write the key, and the query after it has a snapshot of its own, so that
-- it sees what the holder before has committed. Nobody ever waits: the lock of a request in flight is an answer.
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
    'Takes the key for this transaction: new (it may be written), known (with what is stored), or in_flight elsewhere';

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
    'Stores the answer of a write whose key begin_keyed_write called new, over an expired one';
