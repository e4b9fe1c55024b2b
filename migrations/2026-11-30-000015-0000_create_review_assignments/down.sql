SET LOCAL lock_timeout = '2s';

DROP TRIGGER applications_maintain_review ON applications;
DROP FUNCTION maintain_review();
DROP TABLE reviews;
DROP FUNCTION record_review_assignment();
