DROP TABLE users;
DROP FUNCTION announce_accounts;
DROP FUNCTION users_before_update;
DROP TYPE account_role;
