-- Disbursements: their events and projection, the funding pools, the ledger, and approvals by a second person.
SET LOCAL lock_timeout = '2s';

CREATE TABLE disbursement_events (
    disbursement_id uuid NOT NULL,
    sequence bigint NOT NULL CHECK (sequence > 0),
    kind text NOT NULL,
    state text NOT NULL,
    details jsonb NOT NULL,
    actor text NOT NULL,
    request_id text,
    message_key text,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (disbursement_id, sequence),
    CONSTRAINT disbursement_events_state UNIQUE (disbursement_id, sequence, state),
    CONSTRAINT disbursement_events_message_once UNIQUE (message_key)
);

COMMENT ON TABLE disbursement_events IS 'What happened to each disbursement: the source of truth. Append-only.';
COMMENT ON COLUMN disbursement_events.sequence IS 'The number of the event within its disbursement';
COMMENT ON COLUMN disbursement_events.state IS 'The state after the event';
COMMENT ON COLUMN disbursement_events.details IS
    'The beginning, reason codes and references; no personal data, because the destination is sealed in a table of its own';
COMMENT ON COLUMN disbursement_events.actor IS 'An account, rail:<name> or system:disbursements';
COMMENT ON COLUMN disbursement_events.message_key IS 'A keyed hash of the webhook that reported the event; null for others';

CREATE TRIGGER disbursement_events_append_only BEFORE UPDATE OR DELETE ON disbursement_events
    FOR EACH ROW EXECUTE FUNCTION refuse_change('disbursement_events_append_only');
CREATE TRIGGER disbursement_events_no_truncate BEFORE TRUNCATE ON disbursement_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('disbursement_events_append_only');

CREATE TABLE disbursements (
    id uuid PRIMARY KEY,
    application_id uuid NOT NULL,
    country country NOT NULL,
    amount numeric(12, 2) NOT NULL CHECK (amount > 0),
    destination_kind text NOT NULL CHECK (destination_kind IN ('iban', 'clabe', 'pix', 'co_account')),
    destination text NOT NULL,
    holder_differs boolean NOT NULL,
    owner text NOT NULL,
    requested_by text NOT NULL,
    requester_id uuid NOT NULL,
    reverses uuid,
    state text NOT NULL CHECK (state IN ('PENDING', 'RESERVED', 'AWAITING_APPROVAL', 'VERIFIED', 'SUBMITTING', 'UNKNOWN',
        'SUBMITTED', 'CONFIRMED', 'BOOKED', 'COMPLETED', 'COMPENSATING', 'CANCELLED', 'STUCK', 'RETURNED', 'RETURNING')),
    stuck_in text,
    reason text,
    payment_key uuid,
    rail_reference text,
    compensations text[] NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT disbursements_of_their_last_event FOREIGN KEY (id, version, state)
        REFERENCES disbursement_events (disbursement_id, sequence, state) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT disbursements_reversed_once UNIQUE (reverses),
    CONSTRAINT disbursements_payment_key UNIQUE (payment_key),
    CONSTRAINT disbursements_stuck_somewhere CHECK ((stuck_in IS NOT NULL) = (state = 'STUCK'))
);

COMMENT ON TABLE disbursements IS
    'The projection of disbursement_events, which aval disbursements rebuild compares and restores';
COMMENT ON COLUMN disbursements.destination IS 'The masked destination';
COMMENT ON COLUMN disbursements.holder_differs IS 'Whether the holder of the destination has another name than the applicant';
COMMENT ON COLUMN disbursements.owner IS 'The account that created the application';
COMMENT ON COLUMN disbursements.requested_by IS 'The name of the account that requested the disbursement';
COMMENT ON COLUMN disbursements.reverses IS 'The disbursement whose payment came back, if this row is a reversal';
COMMENT ON COLUMN disbursements.payment_key IS 'The idempotency key of the payment, stored before it is first sent';
COMMENT ON COLUMN disbursements.compensations IS 'Registered compensations that have not run';

-- An application is paid out once. A cancelled or returned disbursement may be followed by another one.
CREATE UNIQUE INDEX disbursements_one_live_idx ON disbursements (application_id)
    WHERE reverses IS NULL AND state NOT IN ('CANCELLED', 'RETURNED');
CREATE INDEX disbursements_application_idx ON disbursements (application_id, id DESC);
CREATE INDEX disbursements_owner_idx ON disbursements (owner, id DESC);
CREATE INDEX disbursements_state_idx ON disbursements (state, id DESC);

CREATE FUNCTION disbursement_may_become(old_state text, new_state text) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (old_state, new_state) IN (
        ('PENDING', 'RESERVED'), ('PENDING', 'COMPENSATING'),
        ('RESERVED', 'VERIFIED'), ('RESERVED', 'AWAITING_APPROVAL'), ('RESERVED', 'COMPENSATING'),
        ('AWAITING_APPROVAL', 'VERIFIED'), ('AWAITING_APPROVAL', 'COMPENSATING'),
        ('VERIFIED', 'SUBMITTING'), ('VERIFIED', 'COMPENSATING'),
        ('SUBMITTING', 'SUBMITTED'), ('SUBMITTING', 'COMPENSATING'), ('SUBMITTING', 'UNKNOWN'),
        ('SUBMITTING', 'CONFIRMED'), ('SUBMITTING', 'RETURNED'),
        ('UNKNOWN', 'SUBMITTED'), ('UNKNOWN', 'COMPENSATING'), ('UNKNOWN', 'SUBMITTING'), ('UNKNOWN', 'CONFIRMED'),
        ('UNKNOWN', 'RETURNED'), ('UNKNOWN', 'STUCK'),
        ('SUBMITTED', 'CONFIRMED'), ('SUBMITTED', 'RETURNED'), ('SUBMITTED', 'STUCK'),
        ('CONFIRMED', 'BOOKED'), ('CONFIRMED', 'RETURNED'), ('CONFIRMED', 'STUCK'),
        ('BOOKED', 'COMPLETED'), ('BOOKED', 'RETURNED'),
        ('COMPLETED', 'RETURNED'),
        ('COMPENSATING', 'CANCELLED'), ('COMPENSATING', 'STUCK'),
        ('RETURNING', 'BOOKED'), ('RETURNING', 'STUCK'),
        ('STUCK', 'UNKNOWN'), ('STUCK', 'SUBMITTED'), ('STUCK', 'CONFIRMED'), ('STUCK', 'COMPENSATING'),
        ('STUCK', 'RETURNING'), ('STUCK', 'RETURNED'));
COMMENT ON FUNCTION disbursement_may_become IS 'The transitions of disbursements, as in domain/disbursement/workflow.rs';

CREATE FUNCTION disbursements_before_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state NOT IN ('PENDING', 'RETURNING') THEN
            RAISE EXCEPTION 'a disbursement cannot begin in %', NEW.state
                USING ERRCODE = 'check_violation', CONSTRAINT = 'disbursements_transition', TABLE = 'disbursements';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.application_id, NEW.country, NEW.amount, NEW.destination, NEW.owner)
        IS DISTINCT FROM (OLD.id, OLD.application_id, OLD.country, OLD.amount, OLD.destination, OLD.owner)
        OR NEW.reverses IS DISTINCT FROM OLD.reverses
        OR (OLD.payment_key IS NOT NULL AND NEW.payment_key IS DISTINCT FROM OLD.payment_key)
    THEN
        RAISE EXCEPTION 'the beginning and the payment key of a disbursement never change'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'disbursements_identity', TABLE = 'disbursements';
    END IF;
    IF NEW.state <> OLD.state AND NOT disbursement_may_become(OLD.state, NEW.state) THEN
        RAISE EXCEPTION 'a disbursement cannot go from % to %', OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'disbursements_transition', TABLE = 'disbursements';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION disbursements_before_change IS 'Rejects illegal transitions and changes of what never changes';

-- A rebuild restores rows from the events, in whatever state they are.
CREATE TRIGGER disbursements_before_change BEFORE INSERT OR UPDATE ON disbursements FOR EACH ROW
    WHEN (current_setting('aval.rebuilding', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION disbursements_before_change();

CREATE FUNCTION disbursements_record() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    request text := (SELECT request_id FROM disbursement_events
                     WHERE disbursement_id = NEW.id AND sequence = NEW.version);
    data jsonb := jsonb_build_object('disbursement_id', NEW.id, 'application_id', NEW.application_id,
        'country', NEW.country, 'state', NEW.state, 'reason', NEW.reason, 'reverses', NEW.reverses);
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM record_event(uuid_v7_now(), 'disbursement.requested.v1', NEW.id, request, data);
    ELSIF NEW.state <> OLD.state THEN
        PERFORM record_event(uuid_v7_now(), 'disbursement.state_changed.v1', NEW.id, request,
            data || jsonb_build_object('previous_state', OLD.state));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION disbursements_record IS 'Publishes the transitions of disbursements';

CREATE TRIGGER disbursements_record AFTER INSERT OR UPDATE OF state ON disbursements FOR EACH ROW
    WHEN (current_setting('aval.rebuilding', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION disbursements_record();

CREATE TABLE disbursement_destinations (
    disbursement_id uuid PRIMARY KEY,
    destination bytea NOT NULL
);

COMMENT ON TABLE disbursement_destinations IS 'Account numbers and keys with the names of their holders';
COMMENT ON COLUMN disbursement_destinations.destination IS 'Sealed (storage/seal), never plaintext';

CREATE TRIGGER disbursement_destinations_sealed BEFORE UPDATE ON disbursement_destinations FOR EACH ROW WHEN (
    OLD.disbursement_id <> NEW.disbursement_id OR OLD.destination IS DISTINCT FROM NEW.destination
    AND is_of_another_key(OLD.destination, NEW.destination) IS NOT TRUE)
    EXECUTE FUNCTION refuse_rewrite();

CREATE TABLE funding_pool_shares (
    country country NOT NULL,
    share smallint NOT NULL CHECK (share BETWEEN 0 AND 15),
    available numeric(16, 2) NOT NULL DEFAULT 0,
    reserved numeric(16, 2) NOT NULL DEFAULT 0,
    PRIMARY KEY (country, share),
    CONSTRAINT funding_pool_shares_available_not_negative CHECK (available >= 0),
    CONSTRAINT funding_pool_shares_reserved_not_negative CHECK (reserved >= 0)
);

COMMENT ON TABLE funding_pool_shares IS
    'The funds of each country in its currency, divided into 16 shares so that concurrent reservations rarely lock the same row';

INSERT INTO funding_pool_shares (country, share)
    SELECT country, share FROM unnest(enum_range(NULL::country)) AS country, generate_series(0, 15) AS share;

CREATE TABLE funding_reservations (
    disbursement_id uuid NOT NULL,
    country country NOT NULL,
    share smallint NOT NULL,
    amount numeric(16, 2) NOT NULL CHECK (amount > 0),
    status text NOT NULL CHECK (status IN ('held', 'released', 'booked')),
    PRIMARY KEY (disbursement_id, share),
    FOREIGN KEY (country, share) REFERENCES funding_pool_shares
);

COMMENT ON TABLE funding_reservations IS 'What a disbursement holds of which share, and what became of it';

CREATE FUNCTION funding_reservations_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status <> 'held' OR (NEW.disbursement_id, NEW.country, NEW.share, NEW.amount)
        IS DISTINCT FROM (OLD.disbursement_id, OLD.country, OLD.share, OLD.amount)
    THEN
        RAISE EXCEPTION 'a reservation is released or booked once'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'funding_reservations_once', TABLE = 'funding_reservations';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION funding_reservations_once IS 'Rejects every second end of a reservation';

CREATE TRIGGER funding_reservations_once BEFORE UPDATE ON funding_reservations
    FOR EACH ROW EXECUTE FUNCTION funding_reservations_once();

CREATE TABLE ledger_entries (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('deposit', 'payout', 'return')),
    country country NOT NULL,
    disbursement_id uuid,
    actor text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT ledger_entries_once UNIQUE (disbursement_id, kind),
    CONSTRAINT ledger_entries_about CHECK ((disbursement_id IS NULL) = (kind = 'deposit'))
);

COMMENT ON TABLE ledger_entries IS 'The double-entry ledger. Append-only.';
COMMENT ON COLUMN ledger_entries.disbursement_id IS 'The disbursement that was paid, or the reversal';

CREATE TABLE ledger_lines (
    entry_id uuid NOT NULL REFERENCES ledger_entries,
    account text NOT NULL CHECK (account IN ('pool', 'loans', 'treasury')),
    amount numeric(16, 2) NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (entry_id, account)
);

COMMENT ON TABLE ledger_lines IS 'The lines of ledger entries, in the currency of the entry''s country. Debits are positive.';
COMMENT ON COLUMN ledger_lines.account IS
    'pool: the funding pool; loans: what borrowers owe; treasury: what the owner of the pool paid in';

CREATE INDEX ledger_entries_country_idx ON ledger_entries (country, id DESC);

CREATE FUNCTION ledger_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- The trigger is on two tables with different columns.
    entry uuid := coalesce(to_jsonb(NEW) ->> 'entry_id', to_jsonb(NEW) ->> 'id');
BEGIN
    IF (SELECT count(*) < 2 OR sum(amount) <> 0 FROM ledger_lines WHERE entry_id = entry) THEN
        RAISE EXCEPTION 'the ledger entry % does not balance', entry
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_balances', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ledger_balances IS 'Rejects entries whose lines do not sum to zero, when the transaction commits';

CREATE CONSTRAINT TRIGGER ledger_entries_balance AFTER INSERT ON ledger_entries DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ledger_balances();
CREATE CONSTRAINT TRIGGER ledger_lines_balance AFTER INSERT ON ledger_lines DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ledger_balances();
CREATE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change('ledger_entries_append_only');
CREATE TRIGGER ledger_entries_no_truncate BEFORE TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('ledger_entries_append_only');
CREATE TRIGGER ledger_lines_append_only BEFORE UPDATE OR DELETE ON ledger_lines
    FOR EACH ROW EXECUTE FUNCTION refuse_change('ledger_lines_append_only');
CREATE TRIGGER ledger_lines_no_truncate BEFORE TRUNCATE ON ledger_lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('ledger_lines_append_only');

CREATE TABLE disbursement_approvals (
    id uuid PRIMARY KEY,
    disbursement_id uuid NOT NULL,
    action text NOT NULL CHECK (action IN ('pay', 'resume', 'cancel', 'resolve_paid', 'resolve_unpaid')),
    reason text NOT NULL,
    maker text NOT NULL,
    maker_id uuid NOT NULL,
    requested_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    decision text CHECK (decision IN ('approved', 'declined', 'expired')),
    checker text,
    checker_id uuid,
    decided_at timestamptz,
    CONSTRAINT disbursement_approvals_decided CHECK (
        (decision IS NULL) = (decided_at IS NULL)
        AND (coalesce(decision, '') IN ('approved', 'declined')) = (checker_id IS NOT NULL)),
    CONSTRAINT disbursement_approvals_four_eyes CHECK (
        decision IS DISTINCT FROM 'approved' OR (checker_id <> maker_id AND checker <> maker))
);

COMMENT ON TABLE disbursement_approvals IS 'Requests that a second person must approve, and what was decided';
COMMENT ON COLUMN disbursement_approvals.action IS
    'pay: an amount above the limit or another holder; the others are decisions about a disbursement that needs a person';
COMMENT ON COLUMN disbursement_approvals.reason IS 'Why it was requested';

CREATE UNIQUE INDEX disbursement_approvals_one_pending_idx ON disbursement_approvals (disbursement_id) WHERE decision IS NULL;
CREATE INDEX disbursement_approvals_disbursement_idx ON disbursement_approvals (disbursement_id, id DESC);

CREATE FUNCTION disbursement_approvals_decided_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.decision IS NOT NULL OR (NEW.disbursement_id, NEW.action, NEW.maker, NEW.maker_id, NEW.expires_at)
        IS DISTINCT FROM (OLD.disbursement_id, OLD.action, OLD.maker, OLD.maker_id, OLD.expires_at)
    THEN
        RAISE EXCEPTION 'an approval is decided once'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'disbursement_approvals_decided_once',
                  TABLE = 'disbursement_approvals';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION disbursement_approvals_decided_once IS 'Rejects every second decision, and changes of the request';

CREATE TRIGGER disbursement_approvals_decided_once BEFORE UPDATE ON disbursement_approvals
    FOR EACH ROW EXECUTE FUNCTION disbursement_approvals_decided_once();

-- An application cannot be deleted while it is being paid out: the payment could not be booked.
CREATE FUNCTION refuse_deletion_while_disbursed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM disbursements WHERE application_id = NEW.id AND reverses IS NULL
               AND state NOT IN ('CANCELLED', 'RETURNED', 'BOOKED', 'COMPLETED')) THEN
        RAISE EXCEPTION 'an application cannot be deleted while it is being paid out'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'applications_disbursed', TABLE = 'applications';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION refuse_deletion_while_disbursed IS 'Rejects the deletion of an application with a disbursement in progress';

CREATE TRIGGER applications_disbursed BEFORE UPDATE ON applications
    FOR EACH ROW WHEN (NEW.deleted_at IS NOT NULL AND OLD.deleted_at IS NULL)
    EXECUTE FUNCTION refuse_deletion_while_disbursed();
