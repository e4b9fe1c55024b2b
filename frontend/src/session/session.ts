// The session of the signed-in user. Both tokens are kept in memory only, so a script that runs later in the same browser
// cannot read them, and a reload ends the session.

import { useSyncExternalStore } from 'react';
import { ApiError, readProblem } from '../api/problem';
import type { Role, Schema } from '../api/types';

export interface Session {
    account: string;
    role: Role;
}

interface Tokens {
    access: string;
    refresh: string;
    /** When the access token expires, in milliseconds of `performance.now`. */
    expiresAt: number;
}

/** Renews this long before the access token expires, in milliseconds. */
const RENEW_BEFORE_MS = 30_000;

let session: Session | undefined;
let tokens: Tokens | undefined;
let renewal: Promise<string | undefined> | undefined;
const listeners = new Set<() => void>();

function notify() {
    for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
}

/** The signed-in user; undefined before signing in and after the session has ended. */
export function useSession(): Session | undefined {
    return useSyncExternalStore(subscribe, currentSession);
}

export function currentSession(): Session | undefined {
    return session;
}

/** Calls the listener whenever the session starts or ends. */
export const onSessionChange = subscribe;

async function request<Body>(path: string, init: RequestInit): Promise<Body> {
    let response: Response;
    try {
        response = await fetch(path, init);
    } catch {
        throw new ApiError(0);
    }
    const body: unknown = await response.json().catch(() => undefined);
    if (!response.ok) throw new ApiError(response.status, readProblem(body));
    return body as Body;
}

function post<Body>(path: string, body: unknown): Promise<Body> {
    return request(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
    });
}

function keep(answer: Schema<'SessionTokens'>): Tokens {
    tokens = {
        access: answer.access_token,
        refresh: answer.refresh_token,
        expiresAt: performance.now() + answer.expires_in * 1000,
    };
    return tokens;
}

/** Signs in. Throws {@link ApiError}. */
export async function signIn(username: string, password: string): Promise<void> {
    const kept = keep(await post<Schema<'SessionTokens'>>('/api/v1/auth/login', { username, password }));
    const me = await request<Schema<'Me'>>('/api/v1/auth/me', { headers: { authorization: `Bearer ${kept.access}` } });
    session = { account: me.account, role: me.role };
    notify();
}

function end() {
    session = undefined;
    tokens = undefined;
    notify();
}

/** Signs out. The session ends here even if the server cannot be reached. */
export async function signOut(): Promise<void> {
    const access = tokens?.access;
    end();
    if (access === undefined) return;
    await fetch('/api/v1/auth/logout', { method: 'POST', headers: { authorization: `Bearer ${access}` } }).catch(
        () => {},
    );
}

/** The access token of the session, renewed if it is about to expire; undefined if there is no session. */
export async function accessToken(): Promise<string | undefined> {
    if (tokens === undefined) return undefined;
    if (performance.now() < tokens.expiresAt - RENEW_BEFORE_MS) return tokens.access;
    return renewSession(tokens.access);
}

/**
 * A new access token in place of one that was refused. Concurrent callers share one renewal, because a refresh token can be
 * used once. If the server refuses the renewal, the session ends.
 */
export function renewSession(refused: string): Promise<string | undefined> {
    if (tokens !== undefined && tokens.access !== refused) return Promise.resolve(tokens.access);
    renewal ??= renew().finally(() => {
        renewal = undefined;
    });
    return renewal;
}

async function renew(): Promise<string | undefined> {
    if (tokens === undefined) return undefined;
    try {
        const renewed = await post<Schema<'SessionTokens'>>('/api/v1/auth/refresh', { refresh_token: tokens.refresh });
        return keep(renewed).access;
    } catch (error) {
        if (error instanceof ApiError && !error.isTemporary) {
            end();
            return undefined;
        }
        throw error;
    }
}
