// Receives webhooks from a running Aval and verifies them with the code of docs/webhook-endpoints.md.

import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import createClient from 'openapi-fetch';
import type { paths } from './schema.js';
import { readEvent, readEventWithPublicKey } from './verify-webhooks.js';

type Request = { headers: Record<string, string>; body: string };

function environment(name: string): string {
    const value = process.env[name];
    if (value === undefined) throw new Error(`${name} is not set`);
    return value;
}

function check(condition: boolean, what: string): asserts condition {
    if (!condition) throw new Error(what);
}

function texts(headers: IncomingHttpHeaders): Record<string, string> {
    return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

const received: Request[] = [];
let notify = (): void => undefined;
const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
        received.push({ headers: texts(request.headers), body });
        response.end();
        notify();
    });
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const { port } = server.address() as AddressInfo;

async function next(): Promise<Request> {
    const deadline = AbortSignal.timeout(20_000);
    while (received.length === 0) {
        await new Promise<void>((resolve, reject) => {
            notify = resolve;
            deadline.addEventListener('abort', () => reject(new Error('no webhook arrived')));
        });
    }
    const request = received.shift();
    check(request !== undefined, 'a request');
    return request;
}

function refuses(read: () => unknown): boolean {
    try {
        read();
        return false;
    } catch {
        return true;
    }
}

const baseUrl = environment('AVAL_URL');
const client = createClient<paths>({
    baseUrl,
    headers: { Authorization: `Bearer ${environment('AVAL_TOKEN')}` },
});

const { data: created } = await client.POST('/api/v1/webhook-endpoints', {
    body: { url: `http://127.0.0.1:${port}/hook`, event_types: ['webhook.secret_rotated.v1'] },
});
check(created?.secret !== undefined, 'a secret');
const first = created.secret;
const path = { id: created.id };

const { data: test } = await client.POST('/api/v1/webhook-endpoints/{id}/test', { params: { path } });
check(test?.status === 'pending', 'a test message');
const message = await next();
const event = readEvent(first, message.body, message.headers) as { id: string; type: string };
check(event.type === 'webhook.test.v1' && event.id === message.headers['webhook-id'], 'the event');
check(refuses(() => readEvent(first, `${message.body} `, message.headers)), 'a changed body is refused');
check(refuses(() => readEvent('whsec_AAAA', message.body, message.headers)), 'another secret is refused');

// During a rotation, both secrets verify.
const rotation = await client.POST('/api/v1/webhook-endpoints/{id}/rotate-secret', { params: { path }, body: {} });
check(rotation.data?.secret !== undefined, 'a new secret');
const rotated = await next();
for (const secret of [first, rotation.data.secret]) readEvent(secret, rotated.body, rotated.headers);

// The library ignores the ed25519 signature, and the public key verifies it.
const switched = await client.POST('/api/v1/webhook-endpoints/{id}/rotate-secret', {
    params: { path },
    body: { algorithm: 'v1a' },
});
const publicKey = switched.data?.secrets[0]?.public_key;
check(typeof publicKey === 'string' && switched.data?.secret === undefined, 'a public key');
const signed = await next();
readEvent(first, signed.body, signed.headers);
readEventWithPublicKey(publicKey, signed.body, signed.headers);
check(refuses(() => readEventWithPublicKey(publicKey, `${signed.body} `, signed.headers)), 'a changed body is refused');

const deleted = await client.DELETE('/api/v1/webhook-endpoints/{id}', { params: { path } });
check(deleted.response.status === 204, 'deletion');
server.close();
