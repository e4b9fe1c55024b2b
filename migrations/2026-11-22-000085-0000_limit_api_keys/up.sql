-- A key can be made with limits of its own: machine clients differ in how much they send.
ALTER TABLE api_keys
    ADD COLUMN requests_per_minute integer CHECK (requests_per_minute BETWEEN 1 AND 100000),
    ADD COLUMN applications_per_minute integer CHECK (applications_per_minute BETWEEN 1 AND 100000);

COMMENT ON COLUMN api_keys.requests_per_minute IS 'Null: as configured for keys ([limits.standard])';
COMMENT ON COLUMN api_keys.applications_per_minute IS 'Null: as configured for keys ([limits.create])';
