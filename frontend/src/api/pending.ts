// Endpoints that the generated client does not contain yet.

import type { CountryCode } from './types';

export interface AccountSettings {
    language: 'en' | 'es' | 'pt' | 'it' | null;
    time_zone: string | null;
    theme: 'light' | 'dark' | 'auto';
}

export interface SessionView {
    id: string;
    created_at: string;
    last_used_at: string;
    expires_at: string;
    address: string | null;
    user_agent: string | null;
    current: boolean;
}

export interface CircuitHistoryEntry {
    id: string;
    time: string;
    country: CountryCode;
    provider: string | null;
    kind: 'opened' | 'half_opened' | 'closed' | 'forced_open' | 'forced_closed' | 'automatic';
    instance?: string;
    cause?: string;
    by?: string;
    reason?: string;
    expires_at?: string;
}

export interface DailyFigures {
    date: string;
    country: CountryCode;
    created: number;
    decided: number;
    approved: number;
    rejected: number;
    under_review: number;
    amount_requested: string;
    amount_approved: string;
}

interface Json<Body> {
    headers: Record<string, unknown>;
    content: { 'application/json': Body };
}
interface Empty {
    headers: Record<string, unknown>;
    content?: never;
}
interface Operation<Status extends number, Answer, Parameters = Record<never, never>> {
    parameters: Parameters;
    requestBody?: never;
    responses: Record<Status, Answer>;
}
type ById = { path: { id: string } };

export interface PendingPaths {
    '/api/v1/auth/me/settings': {
        get: Operation<200, Json<AccountSettings>>;
        put: {
            parameters: Record<never, never>;
            requestBody: { content: { 'application/json': AccountSettings } };
            responses: Record<200, Json<AccountSettings>>;
        };
    };
    '/api/v1/auth/me/sessions': {
        get: Operation<200, Json<{ items: SessionView[] }>>;
        delete: Operation<204, Empty>;
    };
    '/api/v1/auth/me/sessions/{id}': { delete: Operation<204, Empty, ById> };
    '/api/v1/users/{id}/sessions': {
        get: Operation<200, Json<{ items: SessionView[] }>, ById>;
        delete: Operation<204, Empty, ById>;
    };
    '/api/v1/admin/circuits/history': {
        get: Operation<
            200,
            Json<{ items: CircuitHistoryEntry[]; next_cursor: string | null }>,
            { query?: { country?: CountryCode; cursor?: string; limit?: number } }
        >;
    };
    '/api/v1/stats/daily': {
        get: Operation<
            200,
            Json<{ items: DailyFigures[] }>,
            { query?: { country?: CountryCode; from?: string; to?: string } }
        >;
    };
}
