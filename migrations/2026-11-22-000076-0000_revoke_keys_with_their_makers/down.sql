DROP TRIGGER users_revoke_keys ON users;
DROP TRIGGER users_revoke_keys_of_deleted ON users;
DROP FUNCTION users_revoke_keys;
DROP TRIGGER api_keys_end_descendants ON api_keys;
DROP FUNCTION api_keys_end_descendants;
DROP TRIGGER api_keys_cap_end ON api_keys;
DROP FUNCTION api_keys_cap_end;
ALTER TABLE api_keys DROP COLUMN made_by_user, DROP COLUMN made_by_key;
