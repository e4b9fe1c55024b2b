-- Creates two users for Aval's database. `aval_owner` owns and changes the schema. `aval_server` is for running instances
-- and can only read and write rows. Run this script in Aval's database, before or after the first migration, as a
-- superuser or a user that may create roles. It can be run repeatedly. See docs/database-roles.md.
--
-- It sets no passwords. Use \password, which keeps them out of logs and history.

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['aval_owner', 'aval_server'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION', role_name);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;

    -- By default, PostgreSQL 14 and older let all users create tables in this schema.
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    GRANT USAGE, CREATE ON SCHEMA public TO aval_owner;
    GRANT USAGE ON SCHEMA public TO aval_server;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO aval_owner', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO aval_server', current_database());

    -- Aval sets these per session. Session settings do not survive a pooler in transaction mode; role settings do.
    EXECUTE format('ALTER ROLE aval_server IN DATABASE %I SET jit = off', current_database());
    EXECUTE format('ALTER ROLE aval_server IN DATABASE %I SET enable_seqscan = off', current_database());
END
$$;

-- Privileges on objects that the owner creates later. Partitions need no grants: statements name the parent tables, and
-- only the owner can access a partition directly.
ALTER DEFAULT PRIVILEGES FOR ROLE aval_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO aval_server;
ALTER DEFAULT PRIVILEGES FOR ROLE aval_owner IN SCHEMA public GRANT USAGE ON SEQUENCES TO aval_server;
ALTER DEFAULT PRIVILEGES FOR ROLE aval_owner IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO aval_server;

-- Privileges on existing objects.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO aval_server;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO aval_server;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO aval_server;

-- The grants above include UPDATE and DELETE on append-only tables. `lock_append_only_tables` revokes them and TRUNCATE
-- again for every user except the owner.
DO $$
BEGIN
    IF to_regprocedure('public.lock_append_only_tables()') IS NOT NULL THEN
        PERFORM lock_append_only_tables();
    END IF;
END
$$;
