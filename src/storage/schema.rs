// @generated automatically by Diesel CLI.

pub mod sql_types {
    #[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
    #[diesel(postgres_type(name = "account_role"))]
    pub struct AccountRole;

    #[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
    #[diesel(postgres_type(name = "application_status"))]
    pub struct ApplicationStatus;

    #[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
    #[diesel(postgres_type(name = "audit_action"))]
    pub struct AuditAction;

    #[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
    #[diesel(postgres_type(name = "country"))]
    pub struct Country;

    #[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
    #[diesel(postgres_type(name = "failed_job_status"))]
    pub struct FailedJobStatus;

    #[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
    #[diesel(postgres_type(name = "job_result"))]
    pub struct JobResult;

    #[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
    #[diesel(postgres_type(name = "job_status"))]
    pub struct JobStatus;

    #[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
    #[diesel(postgres_type(name = "webhook_status"))]
    pub struct WebhookStatus;
}

diesel::table! {
    use diesel::sql_types::*;

    account_contacts (user_id) {
        user_id -> Uuid,
        name -> Nullable<Bytea>,
        email -> Nullable<Bytea>,
        email_index -> Nullable<Bytea>,
    }
}

diesel::table! {
    account_settings (user_id) {
        user_id -> Uuid,
        language -> Nullable<Text>,
        time_zone -> Nullable<Text>,
        theme -> Text,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::AccountRole;

    api_keys (id) {
        id -> Uuid,
        name -> Text,
        key_hash -> Bytea,
        role -> AccountRole,
        scopes -> Array<Nullable<Text>>,
        created_by -> Text,
        created_at -> Timestamptz,
        expires_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
        last_used_at -> Nullable<Timestamptz>,
        made_by_user -> Nullable<Uuid>,
        made_by_key -> Nullable<Uuid>,
        requests_per_minute -> Nullable<Int4>,
        applications_per_minute -> Nullable<Int4>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Country;
    use super::sql_types::ApplicationStatus;

    application_counts (owner, country, status) {
        owner -> Text,
        country -> Country,
        status -> ApplicationStatus,
        applications -> Int8,
        requested_amount -> Numeric,
        risk_low -> Int8,
        risk_medium -> Int8,
        risk_high -> Int8,
        risk_critical -> Int8,
        risk_sum -> Numeric,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Country;

    application_days (owner, day, country) {
        owner -> Text,
        day -> Date,
        country -> Country,
        created -> Int8,
        requested_amount -> Numeric,
        approved -> Int8,
        rejected -> Int8,
        under_review -> Int8,
        cancelled -> Int8,
        approved_amount -> Numeric,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Country;
    use super::sql_types::ApplicationStatus;

    applications (id) {
        id -> Uuid,
        country -> Country,
        full_name -> Bytea,
        identity_document -> Bytea,
        requested_amount -> Numeric,
        monthly_income -> Numeric,
        term_months -> Int2,
        currency -> Text,
        status -> ApplicationStatus,
        country_specific_data -> Jsonb,
        banking_data -> Nullable<Jsonb>,
        risk_score -> Nullable<Numeric>,
        validation_errors -> Nullable<Jsonb>,
        version -> Int8,
        created_by -> Text,
        changed_by -> Nullable<Text>,
        change_reason -> Nullable<Text>,
        change_request_id -> Nullable<Text>,
        change_traceparent -> Nullable<Text>,
        change_id -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        deleted_at -> Nullable<Timestamptz>,
        birth_date -> Nullable<Bytea>,
        document_index -> Nullable<Bytea>,
        personal_data -> Nullable<Bytea>,
        change_details -> Nullable<Jsonb>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Country;
    use super::sql_types::ApplicationStatus;

    applications_archive (id) {
        id -> Uuid,
        country -> Country,
        full_name -> Bytea,
        identity_document -> Bytea,
        requested_amount -> Numeric,
        monthly_income -> Numeric,
        term_months -> Int2,
        currency -> Text,
        status -> ApplicationStatus,
        country_specific_data -> Jsonb,
        banking_data -> Nullable<Jsonb>,
        risk_score -> Nullable<Numeric>,
        validation_errors -> Nullable<Jsonb>,
        version -> Int8,
        created_by -> Text,
        changed_by -> Nullable<Text>,
        change_reason -> Nullable<Text>,
        change_request_id -> Nullable<Text>,
        change_traceparent -> Nullable<Text>,
        change_id -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        deleted_at -> Nullable<Timestamptz>,
        birth_date -> Nullable<Bytea>,
        document_index -> Nullable<Bytea>,
        personal_data -> Nullable<Bytea>,
        change_details -> Nullable<Jsonb>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::AuditAction;
    use super::sql_types::ApplicationStatus;

    audit_logs (application_id, version) {
        id -> Uuid,
        application_id -> Uuid,
        version -> Int8,
        action -> AuditAction,
        old_status -> Nullable<ApplicationStatus>,
        new_status -> ApplicationStatus,
        changed_by -> Text,
        change_reason -> Nullable<Text>,
        change_request_id -> Nullable<Text>,
        change_id -> Uuid,
        metadata -> Jsonb,
        created_at -> Timestamptz,
        traceparent -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::AuditAction;
    use super::sql_types::ApplicationStatus;

    audit_logs_archive (application_id, version) {
        id -> Uuid,
        application_id -> Uuid,
        version -> Int8,
        action -> AuditAction,
        old_status -> Nullable<ApplicationStatus>,
        new_status -> ApplicationStatus,
        changed_by -> Text,
        change_reason -> Nullable<Text>,
        change_request_id -> Nullable<Text>,
        change_id -> Uuid,
        metadata -> Jsonb,
        created_at -> Timestamptz,
        traceparent -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Country;

    circuit_changes (id) {
        id -> Uuid,
        country -> Country,
        provider -> Text,
        kind -> Text,
        instance -> Text,
        cause -> Text,
        changed_at -> Timestamptz,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Country;

    circuit_override_log (id) {
        id -> Uuid,
        country -> Country,
        mode -> Text,
        reason -> Nullable<Text>,
        changed_by -> Text,
        request_id -> Nullable<Text>,
        expires_at -> Nullable<Timestamptz>,
        changed_at -> Timestamptz,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Country;

    circuit_overrides (country) {
        country -> Country,
        mode -> Text,
        reason -> Nullable<Text>,
        set_by -> Text,
        set_at -> Timestamptz,
        request_id -> Nullable<Text>,
        expires_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    consumer_instances (consumer, instance) {
        consumer -> Text,
        instance -> Text,
        seen_until -> Timestamptz,
    }
}

diesel::table! {
    consumer_partitions (consumer, partition) {
        consumer -> Text,
        partition -> Int2,
        position -> Int8,
        owner -> Nullable<Text>,
        fence -> Int8,
        leased_until -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::ApplicationStatus;

    decisions (application_id, id) {
        id -> Uuid,
        application_id -> Uuid,
        job_id -> Nullable<Uuid>,
        status -> ApplicationStatus,
        risk_score -> Nullable<Numeric>,
        reasons -> Jsonb,
        rules -> Jsonb,
        rules_version -> Text,
        input -> Jsonb,
        provider_available -> Bool,
        decided_at -> Timestamptz,
        risk_components -> Nullable<Jsonb>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::ApplicationStatus;

    decisions_archive (application_id, id) {
        id -> Uuid,
        application_id -> Uuid,
        job_id -> Nullable<Uuid>,
        status -> ApplicationStatus,
        risk_score -> Nullable<Numeric>,
        reasons -> Jsonb,
        rules -> Jsonb,
        rules_version -> Text,
        input -> Jsonb,
        provider_available -> Bool,
        decided_at -> Timestamptz,
        risk_components -> Nullable<Jsonb>,
    }
}

diesel::table! {
    deferred_events (id) {
        id -> Uuid,
        consumer -> Text,
        event_id -> Uuid,
        subject -> Uuid,
        partition -> Int2,
        event_offset -> Int8,
        #[sql_name = "type"]
        type_ -> Text,
        time -> Timestamptz,
        request_id -> Nullable<Text>,
        traceparent -> Nullable<Text>,
        data -> Jsonb,
        attempts -> Int4,
        next_attempt_at -> Nullable<Timestamptz>,
        dead_since -> Nullable<Timestamptz>,
        blocks_subject -> Bool,
        error_type -> Nullable<Text>,
        error_message -> Nullable<Text>,
        deferred_at -> Timestamptz,
        is_isolated -> Bool,
        copied_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    disbursement_approvals (id) {
        id -> Uuid,
        disbursement_id -> Uuid,
        action -> Text,
        reason -> Text,
        maker -> Text,
        maker_id -> Uuid,
        requested_at -> Timestamptz,
        expires_at -> Timestamptz,
        decision -> Nullable<Text>,
        checker -> Nullable<Text>,
        checker_id -> Nullable<Uuid>,
        decided_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    disbursement_destinations (disbursement_id) {
        disbursement_id -> Uuid,
        destination -> Bytea,
    }
}

diesel::table! {
    disbursement_events (disbursement_id, sequence) {
        disbursement_id -> Uuid,
        sequence -> Int8,
        kind -> Text,
        state -> Text,
        details -> Jsonb,
        actor -> Text,
        request_id -> Nullable<Text>,
        message_key -> Nullable<Text>,
        recorded_at -> Timestamptz,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Country;

    disbursements (id) {
        id -> Uuid,
        application_id -> Uuid,
        country -> Country,
        amount -> Numeric,
        destination_kind -> Text,
        destination -> Text,
        holder_differs -> Bool,
        owner -> Text,
        requested_by -> Text,
        requester_id -> Uuid,
        reverses -> Nullable<Uuid>,
        state -> Text,
        stuck_in -> Nullable<Text>,
        reason -> Nullable<Text>,
        payment_key -> Nullable<Uuid>,
        rail_reference -> Nullable<Text>,
        compensations -> Array<Nullable<Text>>,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    document_claims (created_by, document_index) {
        created_by -> Text,
        document_index -> Bytea,
        application_id -> Uuid,
        released -> Bool,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::FailedJobStatus;

    failed_job_actions (id) {
        id -> Uuid,
        failed_job_id -> Uuid,
        action -> Text,
        old_status -> FailedJobStatus,
        new_status -> FailedJobStatus,
        actor -> Text,
        reason -> Text,
        request_id -> Nullable<Text>,
        job_id -> Nullable<Uuid>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::FailedJobStatus;

    failed_jobs (id) {
        id -> Uuid,
        job_id -> Uuid,
        task_name -> Text,
        application_id -> Nullable<Uuid>,
        job_args -> Jsonb,
        error_type -> Text,
        error_message -> Text,
        backtrace -> Nullable<Text>,
        attempts -> Int4,
        request_id -> Nullable<Text>,
        traceparent -> Nullable<Text>,
        status -> FailedJobStatus,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        lane -> Text,
        retried_as -> Nullable<Uuid>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Country;

    funding_pool_shares (country, share) {
        country -> Country,
        share -> Int2,
        available -> Numeric,
        reserved -> Numeric,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Country;

    funding_reservations (disbursement_id, share) {
        disbursement_id -> Uuid,
        country -> Country,
        share -> Int2,
        amount -> Numeric,
        status -> Text,
    }
}

diesel::table! {
    idempotency_keys (key_digest) {
        key_digest -> Bytea,
        account -> Text,
        route -> Text,
        fingerprint -> Bytea,
        status -> Int2,
        reply -> Bytea,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    inbox (consumer, event_id) {
        consumer -> Text,
        event_id -> Uuid,
        event_offset -> Int8,
        handled_at -> Timestamptz,
    }
}

diesel::table! {
    ingest_dead_letters (id) {
        id -> Uuid,
        account -> Text,
        code -> Text,
        detail -> Text,
        event -> Text,
        received_at -> Timestamptz,
    }
}

diesel::table! {
    ingested_events (user_id, occurred_at, id) {
        occurred_at -> Timestamptz,
        received_at -> Timestamptz,
        user_id -> Text,
        id -> Text,
        #[sql_name = "type"]
        type_ -> Text,
        properties -> Text,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::JobResult;

    job_history (id) {
        id -> Uuid,
        task_name -> Text,
        application_id -> Nullable<Uuid>,
        result -> JobResult,
        attempt -> Int4,
        request_id -> Nullable<Text>,
        traceparent -> Nullable<Text>,
        error_type -> Nullable<Text>,
        error_message -> Nullable<Text>,
        created_at -> Timestamptz,
        finished_at -> Timestamptz,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Country;

    ledger_entries (id) {
        id -> Uuid,
        kind -> Text,
        country -> Country,
        disbursement_id -> Nullable<Uuid>,
        actor -> Text,
        recorded_at -> Timestamptz,
    }
}

diesel::table! {
    ledger_lines (entry_id, account) {
        entry_id -> Uuid,
        account -> Text,
        amount -> Numeric,
    }
}

diesel::table! {
    use diesel::sql_types::*;

    login_addresses (user_id, address_digest) {
        user_id -> Uuid,
        address_digest -> Bytea,
        last_login_at -> Timestamptz,
    }
}

diesel::table! {
    outbox (seq) {
        seq -> Int8,
        id -> Uuid,
        #[sql_name = "type"]
        type_ -> Text,
        subject -> Uuid,
        time -> Timestamptz,
        request_id -> Nullable<Text>,
        traceparent -> Nullable<Text>,
        data -> Jsonb,
        relay_offset -> Nullable<Int8>,
        published_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    outbox_position (singleton) {
        singleton -> Bool,
        epoch -> Uuid,
        last_offset -> Int8,
    }
}

diesel::table! {
    paused_lane_log (id) {
        id -> Uuid,
        lane -> Text,
        paused -> Bool,
        reason -> Text,
        changed_by -> Text,
        request_id -> Nullable<Text>,
        expires_at -> Nullable<Timestamptz>,
        changed_at -> Timestamptz,
    }
}

diesel::table! {
    paused_lanes (lane) {
        lane -> Text,
        reason -> Text,
        paused_by -> Text,
        paused_at -> Timestamptz,
        expires_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::JobStatus;

    pending_jobs (id) {
        id -> Uuid,
        task_name -> Text,
        application_id -> Nullable<Uuid>,
        job_args -> Jsonb,
        status -> JobStatus,
        priority -> Int2,
        attempt -> Int4,
        run_at -> Timestamptz,
        lease_token -> Nullable<Int8>,
        leased_until -> Nullable<Timestamptz>,
        leased_by -> Nullable<Text>,
        provider_reference -> Nullable<Text>,
        request_id -> Nullable<Text>,
        traceparent -> Nullable<Text>,
        error_type -> Nullable<Text>,
        error_message -> Nullable<Text>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        lane -> Text,
        first_claimed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Country;

    provider_retries (application_id) {
        application_id -> Uuid,
        country -> Country,
        attempts -> Int4,
        next_at -> Timestamptz,
        since -> Timestamptz,
    }
}

diesel::table! {
    refresh_tokens (id) {
        id -> Uuid,
        token_hash -> Bytea,
        family -> Uuid,
        user_id -> Uuid,
        issued_at -> Timestamptz,
        expires_at -> Timestamptz,
        rotated_at -> Nullable<Timestamptz>,
        replaced_by -> Nullable<Uuid>,
        revoked_at -> Nullable<Timestamptz>,
        session_started_at -> Timestamptz,
        uses -> Int4,
        address -> Nullable<Bytea>,
        user_agent -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Country;

    reviews (application_id) {
        application_id -> Uuid,
        country -> Country,
        waiting_since -> Timestamptz,
        assigned_to -> Nullable<Uuid>,
        assigned_at -> Nullable<Timestamptz>,
        expires_at -> Nullable<Timestamptz>,
        request_id -> Nullable<Text>,
    }
}

diesel::table! {
    saved_views (id) {
        id -> Uuid,
        user_id -> Uuid,
        page -> Text,
        name -> Text,
        filters -> Jsonb,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    scheduled_runs (id) {
        id -> Uuid,
        task -> Text,
        cause -> Text,
        due_at -> Timestamptz,
        outcome -> Text,
        started_at -> Nullable<Timestamptz>,
        finished_at -> Nullable<Timestamptz>,
        detail -> Jsonb,
        error_type -> Nullable<Text>,
        error_message -> Nullable<Text>,
        instance -> Nullable<Text>,
        requested_by -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::*;

    security_events (id) {
        id -> Uuid,
        kind -> Text,
        actor -> Nullable<Text>,
        subject -> Nullable<Text>,
        detail -> Jsonb,
        origin_id -> Nullable<Uuid>,
        address -> Nullable<Bytea>,
        request_id -> Nullable<Text>,
        occurred_at -> Timestamptz,
    }
}

diesel::table! {
    staff_views (id) {
        id -> Uuid,
        account -> Text,
        action -> Text,
        application_id -> Nullable<Uuid>,
        document_index -> Nullable<Bytea>,
        filter -> Jsonb,
        request_id -> Nullable<Text>,
        viewed_at -> Timestamptz,
        keep_until -> Timestamptz,
    }
}

diesel::table! {
    use diesel::sql_types::*;

    statistics_position (singleton) {
        singleton -> Bool,
        last_offset -> Int8,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::AccountRole;

    users (id) {
        id -> Uuid,
        username -> Text,
        password_hash -> Text,
        role -> AccountRole,
        token_version -> Int8,
        disabled_at -> Nullable<Timestamptz>,
        created_by -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    webhook_attempts (id) {
        id -> Uuid,
        delivery_id -> Uuid,
        endpoint_id -> Uuid,
        result -> Text,
        status_code -> Nullable<Int4>,
        duration_ms -> Int8,
        response -> Nullable<Bytea>,
        error -> Nullable<Text>,
        attempted_at -> Timestamptz,
    }
}

diesel::table! {
    webhook_deliveries (id) {
        id -> Uuid,
        endpoint_id -> Uuid,
        message_id -> Uuid,
        event_type -> Text,
        subject -> Uuid,
        status -> Text,
        attempts -> Int4,
        last_result -> Nullable<Text>,
        request_id -> Nullable<Text>,
        traceparent -> Nullable<Text>,
        created_at -> Timestamptz,
        finished_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    webhook_endpoints (id) {
        id -> Uuid,
        url -> Text,
        description -> Text,
        event_types -> Array<Nullable<Text>>,
        countries -> Array<Nullable<Text>>,
        ordered -> Bool,
        disabled_at -> Nullable<Timestamptz>,
        disabled_reason -> Nullable<Text>,
        failing_since -> Nullable<Timestamptz>,
        owner_id -> Nullable<Uuid>,
        created_by -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Country;
    use super::sql_types::WebhookStatus;

    webhook_events (id) {
        id -> Uuid,
        idempotency_key -> Text,
        provider -> Text,
        country -> Country,
        application_id -> Uuid,
        provider_reference -> Text,
        outcome -> Text,
        fingerprint -> Bytea,
        payload -> Bytea,
        status -> WebhookStatus,
        attempts -> Int4,
        error_type -> Nullable<Text>,
        error_message -> Nullable<Text>,
        request_id -> Nullable<Text>,
        traceparent -> Nullable<Text>,
        occurred_at -> Timestamptz,
        received_at -> Timestamptz,
        settled_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    webhook_messages (id) {
        id -> Uuid,
        event_type -> Text,
        subject -> Uuid,
        body -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    webhook_secrets (id) {
        id -> Uuid,
        endpoint_id -> Uuid,
        algorithm -> Text,
        secret -> Bytea,
        public_key -> Nullable<Text>,
        created_at -> Timestamptz,
        expires_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    ws_tickets (ticket_hash) {
        ticket_hash -> Bytea,
        user_id -> Nullable<Uuid>,
        token_version -> Nullable<Int8>,
        api_key_id -> Nullable<Uuid>,
        session_until -> Nullable<Timestamptz>,
        expires_at -> Timestamptz,
    }
}

diesel::joinable!(account_contacts -> users (user_id));
diesel::joinable!(account_settings -> users (user_id));
diesel::joinable!(api_keys -> users (made_by_user));
diesel::joinable!(ledger_lines -> ledger_entries (entry_id));
diesel::joinable!(login_addresses -> users (user_id));
diesel::joinable!(refresh_tokens -> users (user_id));
diesel::joinable!(reviews -> users (assigned_to));
diesel::joinable!(saved_views -> users (user_id));
diesel::joinable!(webhook_secrets -> webhook_endpoints (endpoint_id));
diesel::joinable!(ws_tickets -> api_keys (api_key_id));
diesel::joinable!(ws_tickets -> users (user_id));

diesel::allow_tables_to_appear_in_same_query!(
    account_contacts,
    account_settings,
    api_keys,
    application_counts,
    application_days,
    applications,
    applications_archive,
    audit_logs,
    audit_logs_archive,
    circuit_changes,
    circuit_override_log,
    circuit_overrides,
    consumer_instances,
    consumer_partitions,
    decisions,
    decisions_archive,
    deferred_events,
    disbursement_approvals,
    disbursement_destinations,
    disbursement_events,
    disbursements,
    document_claims,
    failed_job_actions,
    failed_jobs,
    funding_pool_shares,
    funding_reservations,
    idempotency_keys,
    inbox,
    ingest_dead_letters,
    ingested_events,
    job_history,
    ledger_entries,
    ledger_lines,
    login_addresses,
    outbox,
    outbox_position,
    paused_lane_log,
    paused_lanes,
    pending_jobs,
    provider_retries,
    refresh_tokens,
    reviews,
    saved_views,
    scheduled_runs,
    security_events,
    staff_views,
    statistics_position,
    users,
    webhook_attempts,
    webhook_deliveries,
    webhook_endpoints,
    webhook_events,
    webhook_messages,
    webhook_secrets,
    ws_tickets,
);
