SET LOCAL lock_timeout = '2s';

DELETE FROM pending_jobs WHERE task_name = 'disbursement_step';
DROP TRIGGER applications_disbursed ON applications;
DROP FUNCTION refuse_deletion_while_disbursed;
DROP TABLE disbursement_approvals;
DROP FUNCTION disbursement_approvals_decided_once;
DROP TABLE ledger_lines;
DROP TABLE ledger_entries;
DROP FUNCTION ledger_balances;
DROP TABLE funding_reservations;
DROP FUNCTION funding_reservations_once;
DROP TABLE funding_pool_shares;
DROP TABLE disbursement_destinations;
DROP TABLE disbursements;
DROP FUNCTION disbursements_record;
DROP FUNCTION disbursements_before_change;
DROP FUNCTION disbursement_may_become;
DROP TABLE disbursement_events;
