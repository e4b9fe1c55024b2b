DROP TABLE outbox_position, outbox;
