DROP TABLE applications;
DROP SCHEMA partitions;
