DROP TABLE circuit_override_log, circuit_overrides, provider_retries, decisions;
DROP FUNCTION log_circuit_override;
