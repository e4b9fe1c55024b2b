-- For POST /applications/search. jsonb_path_ops knows containment alone, at a fraction of the size.
CREATE INDEX applications_country_data_idx ON applications USING gin (country_specific_data jsonb_path_ops)
    WHERE deleted_at IS NULL;
CREATE INDEX applications_banking_data_idx ON applications USING gin (banking_data jsonb_path_ops)
    WHERE deleted_at IS NULL;
