-- The keys stay as they are: nobody knows any more what was hashed.
COMMENT ON COLUMN webhook_events.idempotency_key IS
    'The sender (the countries that its secret speaks for) and its message: the webhook-id, or for a legacy signature the '
    'provider_reference';
