DROP FUNCTION append_event, application_changes, application_envelopes, application_members, reseal_audit_log;
DROP TABLE audit_logs, applications;
DROP FUNCTION applications_before_delete, refuse_status_of_deleted, applications_after_update,
    applications_before_update, applications_after_insert, applications_before_insert, differences, status_may_become,
    is_sealed_again;
DROP TYPE audit_action;
