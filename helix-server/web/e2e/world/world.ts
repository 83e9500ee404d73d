/** What the tests run against, as the set-up leaves it for them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface World {
  url: string;
  /** A one-time link: for set-up where `fresh`, else for signing in. */
  link?: string;
  email: string;
  password: string;
  /** Whether the control plane is new, and the tests are to set it up. */
  fresh: boolean;
  /** The weights of the demo model, where the tests register it. */
  weights: string;
  /** Where the runner's program is, where the tests start it. */
  runner: string;
  /** The engines that the runner brings. */
  engines: string;
  /** Where the program that hosts sandboxes is; empty where none can be. */
  sandboxHost: string;
  /** Why there is none. */
  noSandboxes: string;
  /** A folder for this run. */
  folder: string;
}

const VARIABLE = 'HELIX_E2E_WORLD';

export function saveWorld(world: World): void {
  process.env[VARIABLE] = JSON.stringify(world);
}

export function world(): World {
  const saved = process.env[VARIABLE];
  if (saved === undefined) throw new Error('the set-up has not run');
  return JSON.parse(saved) as World;
}

/** Where the browser's state of the signed-in administrator is kept. */
export const statePath = (): string => join(world().folder, 'state.json');

/** The processes that were started, to be ended at the end. */
export const pidsPath = (folder: string): string => join(folder, 'pids');

export function readPids(folder: string): number[] {
  return readFileSync(pidsPath(folder), 'utf8').split('\n').filter(Boolean).map(Number);
}
