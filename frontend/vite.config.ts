import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

/** The server that the development server forwards requests to. */
const server = process.env.AVAL_URL ?? 'http://localhost:8000';

export default defineConfig({
    plugins: [react()],
    // The binary replaces the placeholder with a new nonce in every response.
    html: { cspNonce: '__AVAL_NONCE__' },
    build: {
        target: 'es2023',
        // The content security policy forbids data URLs except for images.
        assetsInlineLimit: 0,
        reportCompressedSize: false,
        chunkSizeWarningLimit: 600,
    },
    server: {
        proxy: {
            '/api': { target: server, ws: true },
        },
    },
    test: {
        environment: 'jsdom',
        setupFiles: ['tests/setup.ts'],
        // One environment for all files: loading the packages for each file would take longer than the tests.
        isolate: false,
        include: ['tests/**/*.test.{ts,tsx}'],
        // Typing into forms is slow on a busy machine.
        testTimeout: 30_000,
    },
});
