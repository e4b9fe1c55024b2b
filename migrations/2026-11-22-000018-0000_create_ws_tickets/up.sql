CREATE TABLE ws_tickets (
    ticket_hash bytea PRIMARY KEY CHECK (octet_length(ticket_hash) = 32),
    user_id uuid REFERENCES users ON DELETE CASCADE,
    token_version bigint,
    api_key_id uuid REFERENCES api_keys ON DELETE CASCADE,
    session_until timestamptz,
    expires_at timestamptz NOT NULL,
    CHECK (num_nonnulls(user_id, api_key_id) = 1),
    CHECK ((user_id IS NULL) = (token_version IS NULL))
);

COMMENT ON TABLE ws_tickets IS
    'Tickets that open one WebSocket each. A ticket may stand in a URL and so in logs: it is short-lived and used once.';
COMMENT ON COLUMN ws_tickets.ticket_hash IS 'SHA-256; the ticket itself is 256 random bits';
COMMENT ON COLUMN ws_tickets.token_version IS 'Of the access token that asked for the ticket';
COMMENT ON COLUMN ws_tickets.session_until IS
    'When the access token or key that asked for it expires, and with it the WebSocket; null: never';

CREATE INDEX ws_tickets_expiry_idx ON ws_tickets (expires_at);
