-- The queue of applications under review, and the person that each is assigned to.
SET LOCAL lock_timeout = '2s';

CREATE TABLE reviews (
    application_id uuid PRIMARY KEY,
    country country NOT NULL,
    waiting_since timestamptz NOT NULL,
    assigned_to uuid REFERENCES users ON DELETE SET NULL,
    assigned_at timestamptz,
    expires_at timestamptz,
    request_id text
);

COMMENT ON TABLE reviews IS
    'One row per application that is UNDER_REVIEW and not deleted. A trigger on applications inserts and deletes the rows.';
COMMENT ON COLUMN reviews.waiting_since IS 'When the application came under review, or was restored while under review';
COMMENT ON COLUMN reviews.assigned_to IS
    'The user account that reviews the application. The assignment is valid until expires_at; after that, the row counts '
    'as unassigned.';
COMMENT ON COLUMN reviews.request_id IS 'The request that last assigned or released the application';

-- The queue, oldest first: all countries, one country, and the rows with an assignment.
CREATE INDEX reviews_waiting_idx ON reviews (waiting_since, application_id);
CREATE INDEX reviews_country_waiting_idx ON reviews (country, waiting_since, application_id);
CREATE INDEX reviews_assigned_idx ON reviews (waiting_since, application_id) WHERE assigned_to IS NOT NULL;

CREATE FUNCTION maintain_review() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = 'UNDER_REVIEW' AND NEW.deleted_at IS NULL THEN
        INSERT INTO reviews (application_id, country, waiting_since) VALUES (NEW.id, NEW.country, NEW.updated_at)
        ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM reviews WHERE application_id = NEW.id;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION maintain_review IS 'Adds an application to the review queue, or removes it with its assignment';

CREATE TRIGGER applications_maintain_review AFTER UPDATE ON applications
    FOR EACH ROW WHEN ((OLD.status = 'UNDER_REVIEW' AND OLD.deleted_at IS NULL)
        <> (NEW.status = 'UNDER_REVIEW' AND NEW.deleted_at IS NULL))
    EXECUTE FUNCTION maintain_review();

-- Creating the trigger has locked applications against writes, so no application can enter the queue between the
-- trigger and this statement.
INSERT INTO reviews (application_id, country, waiting_since)
SELECT a.id, a.country, coalesce(
    (SELECT max(l.created_at) FROM audit_logs l
     WHERE l.application_id = a.id AND l.new_status = 'UNDER_REVIEW' AND l.old_status <> 'UNDER_REVIEW'),
    a.updated_at)
FROM applications a WHERE a.status = 'UNDER_REVIEW' AND a.deleted_at IS NULL;

CREATE FUNCTION record_review_assignment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.assigned_to IS NOT NULL THEN
        PERFORM record_event(uuid_v7_now(), 'review.assigned.v1', NEW.application_id, NEW.request_id,
            jsonb_build_object('application_id', NEW.application_id, 'country', NEW.country,
                'assigned_to', NEW.assigned_to,
                'expires_at', to_char(NEW.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')));
    ELSIF OLD.assigned_to IS NOT NULL AND OLD.expires_at > now() THEN
        PERFORM record_event(uuid_v7_now(), 'review.released.v1', OLD.application_id,
            CASE WHEN TG_OP = 'UPDATE' THEN NEW.request_id END,
            jsonb_build_object('application_id', OLD.application_id, 'country', OLD.country,
                'assigned_to', OLD.assigned_to));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION record_review_assignment IS
    'Writes an event when an application is assigned, and when a valid assignment ends. An assignment that expires ends '
    'without an event.';

CREATE TRIGGER reviews_record_assignment AFTER UPDATE OF assigned_to, expires_at OR DELETE ON reviews
    FOR EACH ROW EXECUTE FUNCTION record_review_assignment();
