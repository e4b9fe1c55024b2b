ALTER TABLE api_keys DROP COLUMN applications_per_minute, DROP COLUMN requests_per_minute;
