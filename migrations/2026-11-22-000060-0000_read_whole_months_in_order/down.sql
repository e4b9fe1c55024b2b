ALTER FUNCTION recount_application_days() RESET enable_seqscan;
ALTER FUNCTION recount_applications(regclass) RESET enable_seqscan;
