-- Asked for each application as its work begins, so that its plan is kept; the bounds of the id leave two partitions at
-- most to look into.
CREATE FUNCTION applied_elsewhere(application uuid, account text, document bytea, within interval) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM applications o
        WHERE o.document_index = document
          AND o.id < application
          AND o.id >= uuid_v7_floor(uuid_v7_time(application) - within)
          AND o.created_by <> account);
END
$$;
COMMENT ON FUNCTION applied_elsewhere IS
    'Whether another account applied with the same document in the time before an application, whatever became of that';
