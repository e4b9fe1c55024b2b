DROP TABLE login_addresses, ws_tickets, api_keys, refresh_tokens, users;
DROP FUNCTION announce_accounts, api_keys_end_descendants, api_keys_cap_end, api_keys_before_update, users_revoke_keys,
    users_end_sessions, users_before_update, is_same_password;
DROP TYPE account_role;
