// Fills the database of the server with applications of the past months. The API would take minutes for as many. Names and
// documents are sealed as src/storage/seal does it (XChaCha20-Poly1305), so that the server can read them.

import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DATA, sql } from '../database.mjs';

const MONTHS = 5;
const FIRST_NAMES = ['Ana', 'Luis', 'Sofía', 'João', 'Giulia', 'Marco', 'Beatriz', 'Diego', 'Camila', 'Rafael', 'Elsa'];
const LAST_NAMES = ['García', 'Ferreira', 'Rossi', 'Hernández', 'Gómez', 'Souza', 'Martín', 'Costa', 'Conti', 'Rojas'];

const CREATE = 'CREATE UNLOGGED TABLE arrived (id uuid, n integer, full_name bytea, identity_document bytea)';

/** The triggers would queue jobs for the applications and refuse old ones. */
const INSERT = `BEGIN;
    CREATE TABLE filled AS SELECT id, full_name, identity_document, (enum_range(NULL::country))[1 + n % 6] AS country,
        (1000 + n % 30000)::numeric AS requested_amount, (n % 95)::numeric AS risk_score, 'ana.lopez' AS created_by, NULL::timestamptz AS deleted_at,
        (ARRAY['APPROVED', 'REJECTED', 'COMPLETED', 'CANCELLED', 'APPROVED'])[1 + n % 5]::application_status AS status
        FROM arrived;
    ALTER TABLE applications DISABLE TRIGGER USER;
    INSERT INTO applications (id, country, full_name, identity_document, requested_amount, monthly_income, currency, status,
        version, risk_score, created_by, changed_by, change_id, updated_at)
    SELECT f.id, country, full_name, identity_document, requested_amount, 3000, (ARRAY['EUR', 'EUR', 'EUR', 'MXN', 'COP',
        'BRL'])[array_position(enum_range(NULL::country), country)], status, 2, risk_score, created_by, created_by,
        gen_random_uuid(), uuid_v7_time(id) FROM filled f ORDER BY id;
    ALTER TABLE applications ENABLE TRIGGER USER;
    COMMIT`;

const COUNT = `BEGIN;
    SELECT statistics_move_applications('filled', 1);
    INSERT INTO application_days AS d SELECT '', (uuid_v7_time(id) AT TIME ZONE 'UTC')::date AS day, country, count(*),
        sum(requested_amount), count(*) FILTER (WHERE status IN ('APPROVED', 'COMPLETED')),
        count(*) FILTER (WHERE status = 'REJECTED'), 0, count(*) FILTER (WHERE status = 'CANCELLED'),
        coalesce(sum(requested_amount) FILTER (WHERE status IN ('APPROVED', 'COMPLETED')), 0) FROM filled GROUP BY day, country
    ON CONFLICT (owner, day, country) DO UPDATE SET created = d.created + excluded.created,
        requested_amount = d.requested_amount + excluded.requested_amount, approved = d.approved + excluded.approved,
        rejected = d.rejected + excluded.rejected, cancelled = d.cancelled + excluded.cancelled,
        approved_amount = d.approved_amount + excluded.approved_amount;
    COMMIT`;

/** Inserts applications of all countries and statuses, and counts them in the statistics. */
export function insertApplications(count) {
    const ids = sql([
        `SELECT ensure_month_partitions((date_trunc('month', now()) - interval '${MONTHS} months')::date, ${MONTHS + 1})`,
        `COPY (SELECT left(uuid_v7_floor(now() - n * interval '${MONTHS * 30} days' / ${count})::text, 14) || '7'
            || substr(gen_random_uuid()::text, 16) FROM generate_series(1, ${count}) n) TO STDOUT`,
    ])
        .split('\n')
        .slice(-count);
    const seal = sealer();
    const rows = ids.map((id, n) => {
        const name = `${FIRST_NAMES[n % 11]} ${LAST_NAMES[n % 10]} ${LAST_NAMES[Math.trunc(n / 10) % 10]}`;
        return [
            id,
            n,
            `\\\\x${seal('full_name', id, name)}`,
            `\\\\x${seal('identity_document', id, '12345678Z')}`,
        ].join('\t');
    });
    sql(
        [CREATE, 'COPY arrived FROM STDIN', INSERT, COUNT, 'DROP TABLE filled, arrived', 'ANALYZE applications'],
        rows.join('\n'),
    );
}

/** Seals texts of the table of applications with the key of the server. One nonce prefix is enough for a test. */
function sealer() {
    const [, encoded] = readFileSync(join(DATA, 'secrets.toml'), 'utf8').match(/^encryption = "(.*)"/m);
    const key = Buffer.from(encoded, 'base64');
    const id = createHash('sha256').update(key).digest().subarray(0, 4);
    const prefix = randomBytes(16);
    const subkey = hchacha20(key, prefix);
    return (column, row, text) => {
        const rest = randomBytes(8);
        const nonce = Buffer.concat([Buffer.alloc(4), rest]);
        const cipher = createCipheriv('chacha20-poly1305', subkey, nonce, { authTagLength: 16 });
        const rowKey = Buffer.from(row.replaceAll('-', ''), 'hex');
        const parts = [Buffer.from('aval.sealed.v1'), Buffer.from('applications'), Buffer.from(column), rowKey];
        const place = parts.flatMap((part) => [lengthOf(part), part]);
        cipher.setAAD(Buffer.concat([...place, id]));
        const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
        return Buffer.concat([Buffer.of(1), id, prefix, rest, sealed, cipher.getAuthTag()]).toString('hex');
    };
}

function lengthOf(part) {
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(part.length));
    return length;
}

/** Derives the key of XChaCha20 for the first 16 bytes of a nonce (draft-irtf-cfrg-xchacha, section 2.2). */
function hchacha20(key, nonce) {
    const state = new Uint32Array(16);
    const input = Buffer.concat([Buffer.from('expand 32-byte k'), key, nonce]);
    for (let word = 0; word < 16; word += 1) state[word] = input.readUInt32LE(4 * word);
    const add = (to, from, target, bits) => {
        state[to] += state[from];
        const mixed = state[target] ^ state[to];
        state[target] = (mixed << bits) | (mixed >>> (32 - bits));
    };
    const quarter = (a, b, c, d) => {
        add(a, b, d, 16);
        add(c, d, b, 12);
        add(a, b, d, 8);
        add(c, d, b, 7);
    };
    for (let round = 0; round < 10; round += 1) {
        for (let column = 0; column < 4; column += 1) quarter(column, 4 + column, 8 + column, 12 + column);
        for (let start = 0; start < 4; start += 1)
            quarter(start, 4 + ((start + 1) % 4), 8 + ((start + 2) % 4), 12 + ((start + 3) % 4));
    }
    const output = Buffer.alloc(32);
    for (let word = 0; word < 4; word += 1) {
        output.writeUInt32LE(state[word], 4 * word);
        output.writeUInt32LE(state[12 + word], 16 + 4 * word);
    }
    return output;
}
