import { defineConfig } from '@playwright/test';

/** Debian's package; anything that Playwright can drive will do. */
const chromium = process.env['HELIX_CHROMIUM'] ?? '/usr/bin/chromium';

export default defineConfig({
  testDir: 'e2e',
  globalSetup: './e2e/world/set-up.ts',
  // One control plane for all. A story is told in order; pages are looked at side by side,
  // which takes a processor each.
  workers: 2,
  fullyParallel: false,
  timeout: 90_000,
  expect: { timeout: 15_000 },
  reporter: [['list']],
  use: {
    actionTimeout: 15_000,
    locale: 'en-GB',
    viewport: { width: 1280, height: 800 },
    screenshot: 'only-on-failure',
    trace: 'retain-on-failure',
    launchOptions: {
      executablePath: chromium,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    },
  },
  projects: [
    { name: 'journey', testMatch: 'journey.spec.ts' },
    {
      name: 'pages',
      testMatch: 'pages.spec.ts',
      dependencies: ['journey'],
      fullyParallel: true,
    },
    { name: 'sandboxes', testMatch: 'sandboxes.spec.ts', dependencies: ['journey'] },
    // On the host that joined there.
    { name: 'desktop', testMatch: 'desktop.spec.ts', dependencies: ['sandboxes'] },
    { name: 'agents', testMatch: 'agents.spec.ts' },
    { name: 'ports', testMatch: 'ports.spec.ts' },
    { name: 'tunnel', testMatch: 'tunnel.spec.ts', dependencies: ['journey'] },
  ],
});
