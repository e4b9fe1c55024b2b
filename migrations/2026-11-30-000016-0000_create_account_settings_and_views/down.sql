-- Instances of the version with this migration use the tables and columns, so stop them first.
SET LOCAL lock_timeout = '2s';

ALTER TABLE decisions DROP COLUMN risk_components;
ALTER TABLE decisions_archive DROP COLUMN risk_components;

DROP TABLE circuit_changes;

ALTER TABLE refresh_tokens DROP COLUMN user_agent;
ALTER TABLE refresh_tokens DROP COLUMN address;

DROP TABLE saved_views;
DROP TABLE account_settings;
