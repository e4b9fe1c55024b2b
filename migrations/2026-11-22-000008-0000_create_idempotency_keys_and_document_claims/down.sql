DROP TRIGGER applications_release_claim ON applications;
DROP FUNCTION applied_elsewhere, release_document_claim, admit_application, store_keyed_reply, begin_keyed_write;
DROP TABLE document_claims, idempotency_keys;
