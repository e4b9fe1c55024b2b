-- Keys were what the sender chose, in the clear. Their hash needs a key that the database does not know, so messages that
-- came before keep a name that says nothing: should one come again, it counts as new.
UPDATE webhook_events SET idempotency_key = provider || '/' || id;
COMMENT ON COLUMN webhook_events.idempotency_key IS
    'The bureau, a slash, and in hex the keyed hash of the bureau and its message (the webhook-id, or for a legacy '
    'signature the provider_reference): senders choose these, and may put personal data into them';
