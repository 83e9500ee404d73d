import { mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { demoModel, installEngine, program, sandboxHost, startServer, stopAll } from './daemons';
import { pidsPath, saveWorld } from './world';

/**
 * Starts a new control plane; or, where `HELIX_URL` names one that runs, uses that: with
 * `HELIX_LINK` (a one-time sign-in link) or `HELIX_EMAIL` and `HELIX_PASSWORD` of an
 * administrator, a runner that is connected, and the demo model as the default one.
 */
export default async function setUp(): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), 'helix-e2e-'));
  const account = {
    email: process.env['HELIX_EMAIL'] ?? 'ada@example.com',
    password: process.env['HELIX_PASSWORD'] ?? 'correct horse battery',
  };
  const given = process.env['HELIX_URL'];
  if (given !== undefined) {
    const link = process.env['HELIX_LINK'];
    const more = { ...(link !== undefined && { link }), weights: '', runner: '', engines: '' };
    const host = { sandboxHost: '', noSandboxes: 'the given control plane has its own hosts' };
    saveWorld({
      url: given.replace(/\/$/, ''),
      ...account,
      ...more,
      ...host,
      fresh: false,
      folder,
    });
    return () => rm(folder, { recursive: true });
  }
  writeFileSync(pidsPath(folder), '');
  const runner = program('helix-runner');
  const engines = installEngine(runner);
  const stop = () => stopAll(folder);
  try {
    const server = await startServer(folder);
    const found = sandboxHost(folder);
    const host = {
      sandboxHost: 'path' in found ? found.path : '',
      noSandboxes: 'why' in found ? found.why : '',
    };
    const more = { weights: demoModel, runner, engines, ...host, folder };
    saveWorld({ ...server, ...account, fresh: true, ...more });
  } catch (error) {
    await stop();
    throw error;
  }
  return stop;
}
