DROP TABLE webhook_events;
DROP TYPE webhook_status;
