CREATE TABLE login_addresses (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    address_digest bytea NOT NULL CHECK (octet_length(address_digest) = 32),
    last_login_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, address_digest)
);

COMMENT ON TABLE login_addresses IS
    'From where accounts have logged in. A correct password from such an address is accepted while others guess it.';
COMMENT ON COLUMN login_addresses.address_digest IS 'Keyed hash of the address (of an IPv6 network of 64 bits)';

CREATE INDEX login_addresses_expiry_idx ON login_addresses (last_login_at);
