DROP INDEX applications_own_updates_idx;
DROP INDEX applications_updates_idx;
