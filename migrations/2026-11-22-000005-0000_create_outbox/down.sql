DROP TABLE outbox_position;
DROP TABLE outbox;
