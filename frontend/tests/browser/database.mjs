// SQL in the private database of the server, for what has no API.

import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** The data directory of the server. */
export const DATA = process.env.AVAL_DATA_DIR ?? '';
const DATABASE = `postgresql:///aval?user=aval_owner&host=${join(DATA, 'postgres')}`;

/** Runs SQL as the owner of the tables, and returns its output without headers. */
export function sql(statements, input = '') {
    const options = { input, encoding: 'utf8', maxBuffer: 1 << 28 };
    return execFileSync('psql', psqlArguments(statements), options).trim();
}

/** Runs SQL without waiting for it. */
export function sqlLater(statements) {
    return new Promise((resolve, reject) => {
        execFile('psql', psqlArguments(statements), (error) => (error ? reject(error) : resolve()));
    });
}

function psqlArguments(statements) {
    const commands = statements.flatMap((statement) => ['-c', statement]);
    return [DATABASE, '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', ...commands];
}
