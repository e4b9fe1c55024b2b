SET LOCAL lock_timeout = '2s';

DELETE FROM pending_jobs WHERE task_name = 'deliver_webhook';
DROP TABLE webhook_attempts;
DROP TABLE webhook_deliveries;
DROP TABLE webhook_messages;
DROP TABLE webhook_secrets;
DROP TABLE webhook_endpoints CASCADE;
DROP FUNCTION webhook_secrets_record_rotation;
DROP FUNCTION webhook_endpoints_record_changes;
DROP FUNCTION IF EXISTS webhook_endpoint_changed;
