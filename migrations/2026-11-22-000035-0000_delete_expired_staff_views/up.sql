-- The user that serves may not delete from an append-only table; this is the one way in which rows go, and it can be bent
-- to nothing else.
CREATE FUNCTION delete_expired_staff_views(at_most bigint) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH expired AS (SELECT id FROM staff_views WHERE keep_until <= clock_timestamp() ORDER BY keep_until LIMIT at_most),
    deleted AS (DELETE FROM staff_views v USING expired e WHERE v.id = e.id RETURNING v.id)
    SELECT count(*) FROM deleted;
$$;
COMMENT ON FUNCTION delete_expired_staff_views IS 'Deletes views whose time is over; returns how many there were';
