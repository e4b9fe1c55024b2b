// The session of the signed-in user. The access token is kept in memory only. The refresh token is in a cookie that scripts
// cannot read, so a reload of the page and a new tab continue the session.

import { useSyncExternalStore } from 'react';
import { ApiError, readProblem } from '../api/problem';
import type { Role, Schema } from '../api/types';

export interface Session {
    account: string;
    role: Role;
}

interface Token {
    access: string;
    /** When the token expires, in milliseconds of `performance.now`. */
    expiresAt: number;
}

const PATH = '/api/v1/auth/browser-session';

/** Present in the storage of the browser while there is a session, which all tabs share. */
const SIGNED_IN = 'aval.signed-in';

/** How long before its expiry the access token is renewed, in milliseconds. */
const RENEW_BEFORE_MS = 30_000;

let session: Session | undefined;
let token: Token | undefined;
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

function keep(answer: Schema<'BrowserSession'>): Token {
    token = { access: answer.access_token, expiresAt: performance.now() + answer.expires_in * 1000 };
    return token;
}

/** Signs in. Throws {@link ApiError}. */
export async function signIn(username: string, password: string): Promise<void> {
    const answer = await request<Schema<'BrowserSession'>>(PATH, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ username, password }),
    });
    keep(answer);
    await identify(answer.access_token);
}

/** Reads the account of the session. */
async function identify(access: string): Promise<void> {
    const me = await request<Schema<'Me'>>('/api/v1/auth/me', { headers: { authorization: `Bearer ${access}` } });
    localStorage.setItem(SIGNED_IN, me.account);
    session = { account: me.account, role: me.role };
    notify();
}

/** Continues the session of an earlier page or another tab, if there is one. */
export async function resumeSession(): Promise<void> {
    globalThis.addEventListener('storage', (event) => {
        // Another tab has signed out, or in with another account.
        if (event.key === SIGNED_IN && session !== undefined && event.newValue !== session.account) end();
    });
    if (localStorage.getItem(SIGNED_IN) === null) return;
    try {
        const access = await renewSession();
        if (access !== undefined) await identify(access);
    } catch {
        // The server cannot be reached. The sign-in page shows the error when the user signs in.
    }
}

function end() {
    session = undefined;
    token = undefined;
    notify();
}

/** Discards a session that the server has ended. */
export function forgetSession(): void {
    localStorage.removeItem(SIGNED_IN);
    end();
}

/**
 * Changes the password. The server ends every session of the account, so this browser signs in again. Throws
 * {@link ApiError} if the password was not changed.
 */
export async function changePassword(current_password: string, new_password: string): Promise<void> {
    const account = session?.account;
    const access = await accessToken();
    if (account === undefined || access === undefined) return;
    const answer = await request<Schema<'SessionTokens'>>('/api/v1/auth/password', {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${access}` },
        body: JSON.stringify({ current_password, new_password }),
    });
    // The response contains a session whose refresh token is readable by scripts. A session with a cookie replaces it.
    await fetch('/api/v1/auth/logout', {
        method: 'POST',
        headers: { authorization: `Bearer ${answer.access_token}` },
    }).catch(() => {});
    await signIn(account, new_password).catch(forgetSession);
}

/** Signs out in all tabs. The session ends here even if the server cannot be reached. */
export async function signOut(): Promise<void> {
    const access = await accessToken().catch(() => undefined);
    forgetSession();
    if (access === undefined) return;
    await fetch(PATH, { method: 'DELETE', headers: { authorization: `Bearer ${access}` } }).catch(() => {});
}

/** The access token of the session, renewed if it is about to expire; undefined if there is no session. */
export async function accessToken(): Promise<string | undefined> {
    if (token === undefined) return undefined;
    if (performance.now() < token.expiresAt - RENEW_BEFORE_MS) return token.access;
    return renewSession(token.access);
}

/**
 * Returns a new access token, in place of one that was rejected. Concurrent callers share one renewal, including callers in
 * other tabs, because a refresh token can be used only once. If the server rejects the renewal, the session ends.
 */
export function renewSession(refused?: string): Promise<string | undefined> {
    if (token !== undefined && token.access !== refused) return Promise.resolve(token.access);
    renewal ??= renewAlone().finally(() => {
        renewal = undefined;
    });
    return renewal;
}

/** Renews in one tab at a time. Like the cookie, the Web Locks API requires a secure context (HTTPS or localhost). */
async function renewAlone(): Promise<string | undefined> {
    return await navigator.locks.request('aval.renewal', renew);
}

async function renew(): Promise<string | undefined> {
    try {
        return keep(await request<Schema<'BrowserSession'>>(`${PATH}/refresh`, { method: 'POST' })).access;
    } catch (error) {
        if (error instanceof ApiError && !error.isTemporary) {
            localStorage.removeItem(SIGNED_IN);
            end();
            return undefined;
        }
        throw error;
    }
}
