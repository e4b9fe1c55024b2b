-- The names and e-mail addresses of people with an account. Both are encrypted before they reach the database.
SET LOCAL lock_timeout = '2s';

CREATE TABLE account_contacts (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    name bytea,
    email bytea,
    email_index bytea CHECK (octet_length(email_index) = 20),
    CHECK (num_nonnulls(name, email) > 0),
    CHECK ((email IS NULL) = (email_index IS NULL)),
    CONSTRAINT account_contacts_email_key UNIQUE (email_index)
);

COMMENT ON TABLE account_contacts IS 'The names and e-mail addresses of people with an account, if they are known';
COMMENT ON COLUMN account_contacts.name IS 'The full name, sealed';
COMMENT ON COLUMN account_contacts.email IS 'The e-mail address, sealed';
COMMENT ON COLUMN account_contacts.email_index IS
    'The blind index of the e-mail address in lower case, which keeps two accounts from having the same address';
