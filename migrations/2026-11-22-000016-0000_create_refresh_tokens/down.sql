DROP TRIGGER users_end_sessions ON users;
DROP FUNCTION users_end_sessions;
DROP TABLE refresh_tokens;
