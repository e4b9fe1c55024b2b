DROP FUNCTION store_keyed_reply;
DROP FUNCTION begin_keyed_write;
DROP TABLE idempotency_keys;
