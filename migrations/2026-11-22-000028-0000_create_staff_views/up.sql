CREATE TABLE staff_views (
    id uuid PRIMARY KEY,
    account text NOT NULL,
    action text NOT NULL,
    application_id uuid,
    document_index bytea,
    filter jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(filter) = 'object'),
    request_id text,
    viewed_at timestamptz NOT NULL,
    keep_until timestamptz NOT NULL
);

COMMENT ON TABLE staff_views IS
    'What staff looked at: other people''s applications, lists, searches and exports. Append-only: a row goes when its '
    'time is over, and not before. Without personal data.';
COMMENT ON COLUMN staff_views.id IS 'Version 7 UUID of the moment';
COMMENT ON COLUMN staff_views.action IS 'What was looked at: application, application_list, …';
COMMENT ON COLUMN staff_views.application_id IS 'The application; null for a list, a search or an export';
COMMENT ON COLUMN staff_views.document_index IS 'What was searched for, as its blind index; never the document';
COMMENT ON COLUMN staff_views.filter IS 'What a list, a search or an export was narrowed to';
COMMENT ON COLUMN staff_views.keep_until IS 'By the retention that was configured when it was written';

CREATE INDEX staff_views_account_idx ON staff_views (account, id DESC);
CREATE INDEX staff_views_application_idx ON staff_views (application_id, id DESC) WHERE application_id IS NOT NULL;
CREATE INDEX staff_views_expiry_idx ON staff_views (keep_until);

CREATE TRIGGER staff_views_append_only BEFORE UPDATE ON staff_views
    FOR EACH ROW EXECUTE FUNCTION refuse_change('staff_views_append_only');
CREATE TRIGGER staff_views_kept BEFORE DELETE ON staff_views
    FOR EACH ROW WHEN (OLD.keep_until > clock_timestamp()) EXECUTE FUNCTION refuse_change('staff_views_append_only');
CREATE TRIGGER staff_views_no_truncate BEFORE TRUNCATE ON staff_views
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('staff_views_append_only');
