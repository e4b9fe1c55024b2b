// Endpoints of reviews, saved views and bulk changes that the generated client does not contain yet.

import type { ApplicationStatus, CountryCode, ListedApplication, RiskBand, Schema } from './types';

export interface ReviewAssignmentView {
    assigned_to: string;
    assigned_to_name: string;
    assigned_at: string;
    expires_at: string;
}

export interface ReviewView {
    application: ListedApplication;
    waiting_since: string;
    reasons: Schema<'DecisionReason'>[];
    assignment: ReviewAssignmentView | null;
}

export interface RiskComponentView {
    component: 'credit' | 'affordability' | 'history' | 'rejecting_rules' | 'review_rules' | 'cap' | 'minimum';
    points: string;
}

export interface SavedViewView {
    id: string;
    page: 'applications' | 'reviews';
    name: string;
    filters: Record<string, string>;
    created_at: string;
}

export interface BulkFilter {
    country?: CountryCode | null;
    status?: ApplicationStatus | null;
    risk_band?: RiskBand | null;
    min_amount?: string | null;
    max_amount?: string | null;
    from?: string | null;
    to?: string | null;
}

export interface BulkStatusRequest {
    filter?: BulkFilter | null;
    ids?: string[] | null;
    status: ApplicationStatus;
    reason: string;
    dry_run: boolean;
    expected_count?: number | null;
}

export interface BulkStatusView {
    matched: number;
    changeable: number;
    changed: number;
    skipped: { application_id: string; code: string }[];
    remaining: number;
}

interface Json<Body> {
    headers: Record<string, unknown>;
    content: { 'application/json': Body };
}
interface Empty {
    headers: Record<string, unknown>;
    content?: never;
}
interface Call<Responses, Parameters = Record<never, never>> {
    parameters: Parameters;
    requestBody?: never;
    responses: Responses;
}
interface Submission<Body, Responses> {
    parameters: Record<never, never>;
    requestBody: { content: { 'application/json': Body } };
    responses: Responses;
}
interface ById {
    path: { id: string };
}
interface ReviewQuery {
    country?: CountryCode;
    assignment?: 'unassigned' | 'mine' | 'others';
    cursor?: string;
    limit?: number;
}

export interface PendingReviewPaths {
    '/api/v1/applications/{id}/assignment': {
        put: Call<{ 200: Json<ReviewAssignmentView & { application_id: string }> }, ById>;
        delete: Call<{ 204: Empty }, ById>;
    };
    '/api/v1/applications/bulk-status': { post: Submission<BulkStatusRequest, { 200: Json<BulkStatusView> }> };
    '/api/v1/reviews': {
        get: Call<{ 200: Json<{ items: ReviewView[]; next_cursor: string | null }> }, { query?: ReviewQuery }>;
    };
    '/api/v1/reviews/next': {
        post: Submission<{ country?: CountryCode | null }, { 200: Json<ReviewView>; 204: Empty }>;
    };
    '/api/v1/auth/me/views': {
        get: Call<{ 200: Json<{ items: SavedViewView[] }> }>;
        post: Submission<Pick<SavedViewView, 'page' | 'name' | 'filters'>, { 201: Json<SavedViewView> }>;
    };
    '/api/v1/auth/me/views/{id}': { delete: Call<{ 204: Empty }, ById> };
}
