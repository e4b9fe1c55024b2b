// The WebSocket of the console. It is opened with a one-time ticket, subscribes to the channels that the role may read
// and resumes after an interruption at the position of the last update. Updates are passed on in groups, so many
// updates cause few renders.

import { useSyncExternalStore } from 'react';
import { api, unwrap } from '../api/client';
import type { ApplicationStatus, CountryCode, Role } from '../api/types';
import { currentSession, onSessionChange } from '../session/session';
import { isAtLeast } from '../session/roles';

export interface ApplicationUpdate {
    type: 'application_update';
    data: {
        id: string;
        country: CountryCode;
        status: ApplicationStatus;
        previous_status: ApplicationStatus | null;
        risk_score: string | null;
        updated_at: string;
    };
}

export interface OperationsUpdate {
    type: 'operations_update';
    offset: number | string;
    event_type: string;
    time: string;
    data: Record<string, unknown>;
}

/** An application under review was assigned or released. */
export interface ReviewUpdate {
    type: 'review_update';
    event_type: string;
    data: { application_id: string; country: CountryCode; assigned_to?: string; expires_at?: string };
}

/** Updates were missed and can no longer be delivered. All data that was read before may be outdated. */
export interface Gap {
    type: 'gap';
}

export type LiveMessage = ApplicationUpdate | ReviewUpdate | OperationsUpdate | Gap;
export type ConnectionState = 'off' | 'connecting' | 'live' | 'interrupted';
type Listener = (messages: LiveMessage[]) => void;

/** The maximum time until updates are passed on, in milliseconds. */
const GROUP_MS = 200;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;
/** The time within which the server must respond to a ping, in milliseconds. This detects connections that broke silently. */
const PING_MS = 20_000;

interface Position {
    epoch: string;
    offset: number | string;
}

type Frame =
    | (LiveMessage & Partial<Position>)
    | ({ type: 'subscribed'; recovered?: boolean } & Partial<Position>)
    | { type: 'pong' | 'error' | 'unsubscribed' };

let state: ConnectionState = 'off';
let socket: WebSocket | undefined;
let position: Position | undefined;
let failures = 0;
let retry: ReturnType<typeof setTimeout> | undefined;
let ping: ReturnType<typeof setInterval> | undefined;
let isAnswered = true;
/** Distinguishes the current connection from an earlier one that is still being opened. */
let attempt = 0;
let pending: LiveMessage[] = [];
let handover: ReturnType<typeof setTimeout> | undefined;
const stateListeners = new Set<() => void>();
const listeners = new Set<Listener>();

function enter(next: ConnectionState) {
    if (state === next) return;
    state = next;
    for (const listener of stateListeners) listener();
}

export function useConnectionState(): ConnectionState {
    return useSyncExternalStore(
        (listener) => {
            stateListeners.add(listener);
            return () => stateListeners.delete(listener);
        },
        () => state,
    );
}

/** Calls the listener each time that live updates start or continue, until the returned function is called. */
export function onLive(listener: () => void): () => void {
    const observed = () => {
        if (state === 'live') listener();
    };
    stateListeners.add(observed);
    return () => stateListeners.delete(observed);
}

/** Calls the listener with each group of updates until the returned function is called. */
export function onUpdates(listener: Listener): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
}

function deliver(message: LiveMessage) {
    pending.push(message);
    handover ??= setTimeout(() => {
        const messages = pending;
        pending = [];
        handover = undefined;
        for (const listener of listeners) listener(messages);
    }, GROUP_MS);
}

function receive(frame: Frame) {
    isAnswered = true;
    if (frame.type === 'subscribed') {
        failures = 0;
        enter('live');
        if (frame.recovered === false) deliver({ type: 'gap' });
    } else if (
        frame.type === 'application_update' ||
        frame.type === 'review_update' ||
        frame.type === 'operations_update'
    ) {
        deliver(frame);
    }
    if ('epoch' in frame && frame.epoch !== undefined && frame.offset !== undefined) {
        position = { epoch: frame.epoch, offset: frame.offset };
    }
}

/** The channels that a role may read. */
function channelsOf(role: Role): string[] {
    return [
        'applications',
        ...(isAtLeast(role, 'analyst') ? ['reviews'] : []),
        ...(isAtLeast(role, 'admin') ? ['operations'] : []),
    ];
}

async function connect() {
    const session = currentSession();
    if (session === undefined) return;
    attempt += 1;
    const own = attempt;
    enter(state === 'off' ? 'connecting' : 'interrupted');
    let ticket: string;
    try {
        ticket = (await unwrap(api.POST('/api/v1/ws/tickets'))).ticket;
    } catch {
        if (own === attempt) retryLater();
        return;
    }
    if (own !== attempt) return;
    const url = new URL('/api/v1/ws', globalThis.location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.searchParams.set('ticket', ticket);
    const opened = new WebSocket(url);
    socket = opened;
    opened.onopen = () => {
        for (const channel of channelsOf(session.role))
            opened.send(JSON.stringify({ action: 'subscribe', channel, ...position }));
        isAnswered = true;
        ping = setInterval(() => {
            if (!isAnswered) return opened.close();
            isAnswered = false;
            opened.send('{"action":"ping"}');
        }, PING_MS);
    };
    opened.onmessage = (message: MessageEvent<string>) => receive(JSON.parse(message.data) as Frame);
    opened.onclose = (event) => {
        if (own !== attempt) return;
        clearInterval(ping);
        // The sequence of events has been restarted, so positions in the old one are invalid.
        if (event.code === 1012) {
            position = undefined;
            deliver({ type: 'gap' });
        }
        retryLater();
    };
}

function retryLater() {
    enter('interrupted');
    clearTimeout(retry);
    const longest = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** failures);
    failures += 1;
    retry = setTimeout(() => void connect(), longest * (0.5 + Math.random() / 2));
}

function disconnect() {
    attempt += 1;
    clearTimeout(retry);
    clearInterval(ping);
    socket?.close();
    socket = undefined;
    position = undefined;
    failures = 0;
    enter('off');
}

/** Keeps a connection open while a user is signed in. */
export function startLiveUpdates(): void {
    const follow = () => {
        const isSignedIn = currentSession() !== undefined;
        if (isSignedIn && state === 'off') void connect();
        if (!isSignedIn && state !== 'off') disconnect();
    };
    onSessionChange(follow);
    follow();
    globalThis.addEventListener('online', () => {
        if (state !== 'interrupted') return;
        failures = 0;
        clearTimeout(retry);
        void connect();
    });
}
