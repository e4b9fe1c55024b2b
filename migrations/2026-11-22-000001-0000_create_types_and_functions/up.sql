CREATE TYPE country AS ENUM ('ES', 'PT', 'IT', 'MX', 'CO', 'BR');
COMMENT ON TYPE country IS 'ISO 3166-1 alpha-2 codes of the countries that Aval lends in';

CREATE TYPE application_status AS ENUM
    ('PENDING', 'VALIDATING', 'APPROVED', 'REJECTED', 'UNDER_REVIEW', 'CANCELLED', 'COMPLETED');
COMMENT ON TYPE application_status IS 'Where an application stands; the permitted changes are enforced by trigger';

CREATE TYPE audit_action AS ENUM
    ('created', 'status_changed', 'evaluated', 'data_changed', 'deleted', 'restored');
COMMENT ON TYPE audit_action IS 'What kind of change an audit row tells of';

CREATE TYPE job_status AS ENUM ('pending', 'processing', 'waiting_external');
COMMENT ON TYPE job_status IS 'The state of a job that is not finished; finished jobs leave the queue';

CREATE TYPE job_result AS ENUM ('completed', 'superseded', 'failed');
COMMENT ON TYPE job_result IS 'How a finished job ended; superseded: the application no longer needed it';

CREATE TYPE failed_job_status AS ENUM ('pending', 'reviewed', 'reprocessed', 'ignored');
COMMENT ON TYPE failed_job_status IS 'What operators made of a dead letter';

-- The smallest version 7 UUID of a moment: the bound of a partition or of a search by time.
CREATE FUNCTION uuid_v7_floor(moment timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN encode(
        substring(int8send(floor(extract(epoch FROM moment) * 1000)::bigint) FROM 3)
            || decode('00000000000000000000', 'hex'),
        'hex')::uuid;
COMMENT ON FUNCTION uuid_v7_floor IS 'Lower bound of all version 7 UUIDs (RFC 9562) made at or after a moment';

CREATE FUNCTION uuid_v7_time(id uuid) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN to_timestamp(
        ('x0000' || substr(replace(id::text, '-', ''), 1, 12))::bit(64)::bigint::numeric::double precision / 1000);
COMMENT ON FUNCTION uuid_v7_time IS 'The moment inside a version 7 UUID, to the millisecond';

-- Rows that triggers write need identifiers too; PostgreSQL has its own uuidv7() from version 18 on only.
CREATE FUNCTION uuid_v7_now() RETURNS uuid
    LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                FROM 1 FOR 6),
            52, 1), 53, 1),
        'hex')::uuid;
COMMENT ON FUNCTION uuid_v7_now IS 'A new version 7 UUID (RFC 9562)';
