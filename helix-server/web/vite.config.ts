import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

/** The control plane that `npm run dev` passes API calls to. */
const server = process.env['HELIX_URL'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [react()],
  build: {
    target: ['chrome123', 'edge123', 'firefox128', 'safari17.5'],
    // The largest is the grammar of C++, loaded when such code is first shown.
    chunkSizeWarningLimit: 850,
    // Small assets stay files: the content security policy allows no `data:` fonts.
    assetsInlineLimit: 0,
  },
  server: {
    proxy: {
      '/api': { target: server, ws: true, xfwd: true },
      '/v1': server,
    },
  },
  test: {
    environment: 'happy-dom',
    include: ['src/**/*.test.{ts,tsx}'],
    restoreMocks: true,
  },
});
