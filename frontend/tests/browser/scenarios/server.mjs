// A server for one test, which the test can kill and start again.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ADMIN, ANALYST, eventually, PASSWORD } from '../browser.mjs';

const BINARY = process.env.AVAL_BIN ?? '';

/** Ports from here on are given to outgoing connections, which could take the port while the server is down. */
const FIRST_EPHEMERAL_PORT = 32_768;

async function freePort() {
    for (;;) {
        const port = 20_000 + Math.trunc(Math.random() * (FIRST_EPHEMERAL_PORT - 20_000));
        const listener = createServer().listen(port, '127.0.0.1');
        const isFree = await Promise.race([
            once(listener, 'listening').then(() => true),
            once(listener, 'error').then(() => false),
        ]);
        if (!isFree) continue;
        listener.close();
        await once(listener, 'close');
        return port;
    }
}

export class Server {
    #directory = mkdtempSync(join(tmpdir(), 'aval-server-'));
    #process;

    /** A server with a new database and the accounts of the tests. */
    static async start() {
        const server = new Server();
        // The private PostgreSQL of a server that root started runs as another user.
        chmodSync(server.#directory, 0o711);
        server.port = await freePort();
        server.url = `http://127.0.0.1:${server.port}`;
        await server.run();
        for (const [account, role] of [
            [ADMIN, 'admin'],
            [ANALYST, 'analyst'],
        ]) {
            const added = spawnSync(BINARY, ['user', 'add', account, '--role', role, '--password-stdin'], {
                env: server.#environment(),
                input: PASSWORD,
                encoding: 'utf8',
            });
            assert.equal(added.status, 0, added.stderr);
        }
        return server;
    }

    #environment() {
        return { ...process.env, AVAL_DATA_DIR: join(this.#directory, 'data'), PORT: String(this.port) };
    }

    /** Starts the process, with the port and data of an earlier one, and waits until it is ready. */
    async run() {
        const log = join(this.#directory, 'log');
        const output = openSync(log, 'a');
        this.#process = spawn(BINARY, ['serve'], { env: this.#environment(), stdio: ['ignore', output, output] });
        await eventually(
            `the server at ${this.url} is ready`,
            async () => {
                const response = await fetch(`${this.url}/health/ready`).catch(() => undefined);
                return response?.ok ?? readFileSync(log, 'utf8').slice(-500);
            },
            (isReady) => isReady === true,
        );
    }

    /** Kills the process with SIGKILL. */
    async kill() {
        await this.#end('SIGKILL');
    }

    /** Stops the server and its database, and deletes its data. */
    async stop() {
        await this.#end('SIGTERM');
        rmSync(this.#directory, { recursive: true, force: true });
    }

    async #end(signal) {
        const { exitCode, signalCode } = this.#process;
        if (exitCode !== null || signalCode !== null) return;
        const ended = once(this.#process, 'exit');
        this.#process.kill(signal);
        await ended;
    }
}
