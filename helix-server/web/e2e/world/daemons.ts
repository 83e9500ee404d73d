/** Starts the real daemons. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';

import { pidsPath, readPids, type World } from './world';

const WORKSPACE = resolve(import.meta.dirname, '../../../..');

function pathOf(name: 'helix-server' | 'helix-runner' | 'helix-sandbox'): string {
  const given = process.env[`HELIX_TEST_${name.toUpperCase().replace('-', '_')}`];
  const target = process.env['CARGO_TARGET_DIR'] ?? join(WORKSPACE, 'target');
  return given ?? join(target, 'debug', name);
}

/** The program of a daemon: the one that `cargo xtask test` built, or the last one built. */
export function program(name: 'helix-server' | 'helix-runner'): string {
  const path = pathOf(name);
  if (existsSync(path)) return path;
  throw new Error(
    `there is no ${path}: run \`cargo build -p helix-server -p helix-runner\`, or set HELIX_URL to a running control plane`,
  );
}

export const demoModel = join(WORKSPACE, 'models/tiny.gguf');

/** Installs the engine that the runner brings, unless it is there; says where it is. */
export function installEngine(runner: string): string {
  const folder = join(dirname(dirname(runner)), 'tools/runner');
  const args = ['engine', 'install', 'llamacpp', '--data-dir', folder];
  const done = spawnSync(runner, args, { stdio: 'inherit', timeout: 600_000 });
  if (done.status !== 0) throw new Error('the engine could not be installed');
  return join(folder, 'engines');
}

/** What hosts sandboxes; or why this machine cannot. */
export function sandboxHost(folder: string): { path: string } | { why: string } {
  const path = pathOf('helix-sandbox');
  if (!existsSync(path))
    return { why: `there is no ${path}: run \`cargo build -p helix-sandbox\`` };
  const args = ['check', '--data-dir', join(folder, 'check')];
  const done = spawnSync(path, args, { encoding: 'utf8', timeout: 60_000 });
  if (done.status === 0) return { path };
  return { why: `this machine cannot host sandboxes: ${done.stdout}${done.stderr}` };
}

function start(folder: string, name: string, path: string, args: string[], env: object): void {
  const log = openSync(join(folder, `${name}.log`), 'a');
  const child = spawn(path, args, {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', log, log],
  });
  if (child.pid === undefined) throw new Error(`${path} did not start`);
  appendFileSync(pidsPath(folder), `${child.pid}\n`);
  // The test process may end before it; the set-up's end stops it.
  child.unref();
}

/** Starts a control plane with nothing in it; answers its address and set-up link. */
export async function startServer(
  folder: string,
  env: object = {},
): Promise<{ url: string; link: string }> {
  const data = join(folder, 'server');
  mkdirSync(data);
  const address = `127.0.0.1:${await freePort()}`;
  const url = `http://${address}`;
  const args = ['--data-dir', data, '--listen', address, '--public-url', url];
  start(folder, 'server', program('helix-server'), args, env);
  await eventually('the control plane to be ready', join(folder, 'server.log'), async () => {
    const answer = await fetch(`${url}/readyz`);
    return answer.ok && existsSync(join(data, 'setup-link'));
  });
  return { url, link: readFileSync(join(data, 'setup-link'), 'utf8').trim() };
}

/** Runs the command that the web app shows for joining. */
export function joinAsRunner(world: World, command: string): void {
  const [name, ...args] = command.trim().split(/\s+/);
  if (name !== 'helix-runner') throw new Error(`the command begins with ${name ?? 'nothing'}`);
  startRunner(world, 'runner', [...args, '--name', 'workbench'], {});
}

/** Runs the command that the web app shows for hosts. Its sandboxes end with it. */
export function joinAsHost(
  { folder, sandboxHost: path }: Pick<World, 'folder' | 'sandboxHost'>,
  command: string,
): void {
  const [name, ...args] = command.trim().split(/\s+/);
  if (name !== 'helix-sandbox') throw new Error(`the command begins with ${name ?? 'nothing'}`);
  const data = join(folder, 'sandbox');
  mkdirSync(data);
  const more = ['--name', 'workbench', '--data-dir', data];
  start(folder, 'sandbox', path, ['run', '--stop-sandboxes', ...args, ...more], {});
}

/** Runs a runner in a folder of its own. */
export function startRunner(
  { folder, runner, engines }: World,
  name: string,
  args: string[],
  env: object,
): void {
  const data = join(folder, name);
  mkdirSync(data);
  symlinkSync(engines, join(data, 'engines'));
  const more = ['--data-dir', data];
  start(folder, name, runner, [...args, ...more], { HELIX_RUNNER_DEVICES: 'cpu', ...env });
}

async function eventually(what: string, log: string, done: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    if (await done().catch(() => false)) return;
    await new Promise((wake) => setTimeout(wake, 100));
  }
  throw new Error(`waited for ${what}; it said:\n${readFileSync(log, 'utf8')}`);
}

function freePort(): Promise<number> {
  return new Promise((found, failed) => {
    const server = createServer();
    server.once('error', failed);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      server.close(() => {
        found(port);
      });
    });
  });
}

/** Ends what was started, the last one first, and waits until it has ended. */
export async function stopAll(folder: string): Promise<void> {
  const alive = (pid: number, signal: NodeJS.Signals | 0) => {
    try {
      return process.kill(pid, signal);
    } catch {
      return false;
    }
  };
  for (const pid of readPids(folder).reverse()) {
    alive(pid, 'SIGTERM');
    const deadline = Date.now() + 20_000;
    while (alive(pid, 0) && Date.now() < deadline) {
      await new Promise((wake) => setTimeout(wake, 100));
    }
    alive(pid, 'SIGKILL');
  }
  const data = join(folder, 'sandbox');
  // What it has of the machine would stay there.
  if (existsSync(join(data, 'lock')))
    execFileSync(pathOf('helix-sandbox'), ['purge', '--yes', '--data-dir', data]);
  await rm(folder, { recursive: true });
}
