DROP TABLE circuit_overrides;
DROP FUNCTION log_circuit_override;
DROP TABLE circuit_override_log;
