import type { components } from './schema';

type Schemas = components['schemas'];

export type Schema<Name extends keyof Schemas> = Schemas[Name];

export type Application = Schema<'ApplicationView'>;
export type ListedApplication = Schema<'ListedView'>;
export type ApplicationStatus = Schema<'ApplicationStatus'>;
export type CountryCode = Schema<'CountryCode'>;
export type CurrencyCode = Schema<'CurrencyCode'>;
export type RiskBand = Schema<'RiskBandName'>;
export type Problem = Schema<'Problem'>;
export type Review = Schema<'ReviewView'>;
export type ReviewAssignment = Schema<'ReviewAssignmentView'>;
export type RiskComponent = Schema<'RiskComponentView'>;
export type SavedView = Schema<'SavedViewItem'>;
export type BulkTarget = Pick<Schema<'BulkStatusRequest'>, 'filter' | 'ids'>;
export type BulkResult = Schema<'BulkStatusView'>;
export type Decision = Schema<'DecisionView'>;
export type Role = Schema<'RoleName'>;
export type Settings = Schema<'OwnSettingsView'>;
export type SessionView = Schema<'SessionView'>;
export type CircuitChange = Schema<'CircuitChangeView'>;
export type DailyFigures = Schema<'DayView'>;

// The values of enumerations, for lists of choices. The type of each makes an omitted or unknown value a compile error.
const values = <T extends string>(all: Record<T, true>): T[] => Object.keys(all) as T[];

export const STATUSES = values<ApplicationStatus>({
    PENDING: true,
    VALIDATING: true,
    UNDER_REVIEW: true,
    APPROVED: true,
    REJECTED: true,
    CANCELLED: true,
    COMPLETED: true,
});
export const RISK_BANDS = values<RiskBand>({ low: true, medium: true, high: true, critical: true });
export const ROLES = values<Role>({ user: true, analyst: true, admin: true });
export const SCOPES = values<Schema<'ScopeName'>>({
    'applications:read': true,
    'applications:write': true,
    'applications:review': true,
    'events:read': true,
    'events:write': true,
    'metrics:read': true,
    'operations:read': true,
    'operations:write': true,
    'webhooks:manage': true,
});
export const FAILED_JOB_STATUSES = values<Schema<'FailedJobStatus'>>({
    pending: true,
    reviewed: true,
    reprocessed: true,
    ignored: true,
});
export const JOB_STATUSES = values<Schema<'JobStatus'>>({ pending: true, processing: true, waiting_external: true });
export const WEBHOOK_STATUSES = values<Schema<'WebhookStatus'>>({
    received: true,
    applied: true,
    ignored: true,
    failed: true,
});
export const COUNTRY_CODES = values<CountryCode>({ ES: true, PT: true, IT: true, MX: true, CO: true, BR: true });
export const ALGORITHMS = values<Schema<'WebhookAlgorithm'>>({ v1: true, v1a: true });
export const DELIVERY_STATUSES = values<Schema<'WebhookDeliveryStatus'>>({
    waiting: true,
    pending: true,
    delivered: true,
    dead: true,
    skipped: true,
});
export const RUN_OUTCOMES = values<Schema<'Outcome'>>({
    requested: true,
    running: true,
    completed: true,
    failed: true,
    abandoned: true,
});
export const STAFF_VIEW_ACTIONS = values<Schema<'StaffViewAction'>>({
    application: true,
    application_status: true,
    application_audit: true,
    application_decision: true,
    application_list: true,
    application_search: true,
    application_export: true,
});
export const LOG_LEVELS = values<Schema<'LogLevelName'>>({
    trace: true,
    debug: true,
    info: true,
    warning: true,
    error: true,
    critical: true,
});
