-- For GET /applications?updated_since: staff read all applications in the order of their changes, owners their own. Building
-- them blocks writes to a month while it is indexed.
CREATE INDEX applications_updates_idx ON applications (updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX applications_own_updates_idx ON applications (created_by, updated_at, id) WHERE deleted_at IS NULL;
