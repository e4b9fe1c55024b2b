// Validates an AsyncAPI document. Its path is the argument. Hints and warnings count as errors.

import { readFileSync } from 'node:fs';
import { Parser } from '@asyncapi/parser';

const diagnostics = await new Parser().validate(readFileSync(process.argv[2], 'utf8'));
for (const { code, path, message } of diagnostics) {
    console.error(`${code} ${path.join('/')}: ${message}`);
}
process.exitCode = diagnostics.length > 0 ? 1 : 0;
