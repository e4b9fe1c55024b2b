// Writes a .br and a .gz file next to each file of the build, so the server need not compress them. index.html is
// excluded, because each response contains a different nonce.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const assets = new URL('../dist/assets/', import.meta.url);
for (const name of readdirSync(assets)) {
    if (!/\.(js|css|svg)$/.test(name)) continue;
    const file = new URL(name, assets);
    const content = readFileSync(file);
    const quality = {
        params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length },
    };
    writeFileSync(new URL(`${name}.br`, assets), brotliCompressSync(content, quality));
    writeFileSync(new URL(`${name}.gz`, assets), gzipSync(content, { level: 9 }));
}
