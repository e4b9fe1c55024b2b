DROP TABLE decisions;
DROP TABLE audit_logs;
DROP FUNCTION refuse_change;
