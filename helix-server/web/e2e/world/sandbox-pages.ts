/** Sandboxes in every state, full of long words, for looking at their pages without a host. */
import type { Page } from '@playwright/test';

const NOW = Date.now();
const GIB = 1024 ** 3;
const LONG = 'W'.repeat(100);
const SANDBOX_ID = `sbx_${'0'.repeat(25)}1`;
const HOST_ID = `sbh_${'0'.repeat(25)}1`;

const sandbox = (index: number, more: object) => ({
  id: `sbx_${'0'.repeat(25)}${index}`,
  name: `sandbox ${index}`,
  user_id: 'usr_00000000000000000000000000',
  host_id: HOST_ID,
  state: 'running',
  reachable: true,
  rootfs: { kind: 'host' },
  egress: { mode: 'open' },
  limits: {
    cpu_millis: 2_000,
    memory_bytes: 4 * GIB,
    pids: 4_096,
    disk_bytes: 10 * GIB,
    open_files: 65_536,
  },
  docker: false,
  created_at_ms: NOW - 60_000,
  used_at_ms: NOW - 60_000,
  ...more,
});

const RULES = [{ to: '*.example.com', ports: ['443'], protocol: 'tcp' }, { to: '10.1.0.0/16' }];

const DESKTOP = { kind: 'sway', width: 1_280, height: 800 };

const SANDBOXES = [
  sandbox(1, {
    name: LONG,
    docker: true,
    desktop: DESKTOP,
    egress: { mode: 'allow_list', rules: RULES },
  }),
  sandbox(2, { state: 'creating', phase: 'isolation', docker: true, desktop: DESKTOP }),
  sandbox(3, { state: 'failed', end: { kind: 'internal', message: LONG } }),
  sandbox(4, { state: 'paused', desktop: DESKTOP, rootfs: { kind: 'image', image: LONG } }),
  sandbox(5, { reachable: false }),
  sandbox(6, { state: 'stopped', end: { kind: 'idle', message: 'nobody used it' } }),
  sandbox(7, { desktop: DESKTOP }),
  sandbox(8, {}),
];

/** Of one pixel, dark green. */
const PICTURE = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNgqGb4DwACWAGQAmZ0YwAAAABJRU5ErkJggg==',
  'base64',
);

/** What the desktop of sandbox 7 says; that of sandbox 1 has a picture. */
const NO_PICTURE = {
  error: { code: 'unavailable', message: `the desktop does not answer: ${LONG}` },
};

/** How the desktop of sandbox 7 is, and those of others. */
const FAILED = { state: 'failed', starts: 5, message: LONG };
const READY = { state: 'ready', starts: 1, message: '' };

/** Of what is not there. */
const GONE = {
  status: 404,
  json: { error: { code: 'not_found', message: 'no such sandbox', retryable: false } },
};

const FILES = [
  ['folder', 'directory'],
  ['letter.txt', 'file'],
  [LONG, 'file'],
  ['link', 'symlink'],
].map(([name, kind]) => ({
  name,
  path: `/home/user/${name ?? ''}`,
  kind,
  size_bytes: 12_345,
  mode: 0o644,
  uid: 1_000,
  gid: 1_000,
  modified_at_ms: NOW,
  ...(kind === 'symlink' && { target: `/${LONG}` }),
}));

const STATS = {
  at_ms: NOW,
  cpu_us: 1_000_000,
  cpu_millis: 500,
  memory_bytes: GIB,
  memory_limit_bytes: 4 * GIB,
  pids: 12,
  disk_bytes: 9.9 * GIB,
  disk_limit_bytes: 10 * GIB,
  sent_bytes: 1_000,
  received_bytes: 2_000,
};

const SNAPSHOT = {
  id: `snp_${'0'.repeat(26)}`,
  name: LONG,
  host_id: HOST_ID,
  sandbox_id: SANDBOX_ID,
  size_bytes: GIB,
  created_at_ms: NOW,
};

const TERMINAL = { command: ['/bin/bash'], cols: 80, rows: 24, started_at_ms: NOW, attached: 0 };

const HOST = {
  id: HOST_ID,
  name: LONG,
  state: 'online',
  tunnel: { state: 'connected', lanes: [] },
  created_at_ms: NOW,
  sandboxes: 6,
  info: {
    boot_id: 'boot',
    version: '0.1.0',
    hostname: LONG,
    platform: 'linux x86_64',
    backend: 'namespaces',
    capabilities: [
      { name: 'network', available: true, detail: 'nftables' },
      { name: 'limits', available: false, detail: LONG },
    ],
    capacity: {
      cpu_millis: 8_000,
      cpu_promised_millis: 4_000,
      cpu_used_millis: 1_000,
      memory_bytes: 32 * GIB,
      memory_promised_bytes: 16 * GIB,
      memory_available_bytes: 8 * GIB,
      disk_bytes: 100 * GIB,
      disk_free_bytes: 2 * GIB,
    },
    images: [
      { name: LONG, digest: `sha256:${'ab'.repeat(32)}`, size_bytes: GIB, created_at_ms: NOW },
    ],
  },
};

const CHOICES = {
  hosts: [
    {
      id: HOST_ID,
      name: LONG,
      available: true,
      host_rootfs: true,
      docker: true,
      cpu_millis: 8_000,
      memory_bytes: 32 * GIB,
      images: [
        { name: LONG, size_bytes: GIB },
        { name: 'debian:12', size_bytes: GIB / 4 },
      ],
    },
  ],
};

/** A repository with every kind of change, and long names. */
const GIT_STATUS = {
  directory: `/home/user/${LONG}`,
  branch: 'main',
  commit: '0'.repeat(40),
  upstream: 'origin/main',
  ahead: 2,
  behind: 1,
  files: [
    { path: `src/${LONG}.rs`, unstaged: 'modified' },
    { path: 'src/new.rs', unstaged: 'untracked' },
    { path: 'src/gone.rs', staged: 'deleted' },
    { path: 'src/there.rs', from: 'src/here.rs', staged: 'renamed' },
    { path: 'src/both.rs', unstaged: 'conflicted' },
  ],
  truncated: true,
};

const GIT_DIFF = {
  patch: `@@ -3,3 +3,3 @@ fn main()\n same\n-old ${LONG}\n+new\n same\n`,
  truncated: true,
};

const GIT_BRANCH = { commit: '0'.repeat(40), committed_at_ms: NOW, subject: LONG };
const GIT_BRANCHES = [
  { name: 'main', remote: false, current: true, ...GIT_BRANCH },
  { name: LONG, remote: false, current: false, ...GIT_BRANCH },
  { name: 'origin/other', remote: true, current: false, ...GIT_BRANCH },
];

/** There is none in sandbox 8. */
const NO_REPOSITORY = { error: { code: 'not_found', message: 'there is no such git repository' } };

/** What is pushed, once: it is asked for again, as after a connection that broke. */
const STREAMS: [RegExp, () => unknown][] = [
  [/\/sandboxes\/\w+\/stats\/stream$/, () => ({ ...STATS, at_ms: Date.now() })],
  [
    /\/sandbox-hosts\/\w+\/stats\/stream$/,
    () => ({
      at_ms: Date.now(),
      capacity: HOST.info.capacity,
      sandboxes: SANDBOXES.slice(0, 2).map(({ id }) => ({ id, stats: STATS })),
    }),
  ],
];

const ANSWERS: [RegExp, (id: string) => unknown][] = [
  [/\/sandboxes$/, () => ({ items: SANDBOXES })],
  [/\/sandboxes\/(\w+)$/, (id) => SANDBOXES.find((each) => each.id === id)],
  [/\/sandbox-choices$/, () => CHOICES],
  [/\/sandboxes\/(\w+)\/desktop\/status$/, (id) => (id.endsWith('7') ? FAILED : READY)],
  [/\/git\/status$/, () => GIT_STATUS],
  [/\/git\/diff$/, () => GIT_DIFF],
  [/\/git\/branches$/, () => ({ branches: GIT_BRANCHES })],
  [/\/logs$/, () => ({ lines: [{ at_ms: NOW, source: 'host', text: LONG }] })],
  [/\/ports$/, () => ({ ports: [{ port: 65_535, address: '127.0.0.1', program: LONG }] })],
  [/\/files\/list$/, () => ({ entries: FILES, truncated: true })],
  [/\/snapshots$/, () => ({ items: [SNAPSHOT] })],
  [
    /\/terminals$/,
    () => ({
      terminals: ['1', '2'].map((id) => ({ id: `trm_${id}`, user: 'user', ...TERMINAL })),
    }),
  ],
  [/\/sandbox-hosts$/, () => [HOST]],
  [/\/sandbox-hosts\/(\w+)$/, () => HOST],
];

/** Answers what pages about sandboxes and hosts ask, and goes to one of them. */
export const withSandboxes = (path: string) => async (page: Page) => {
  await page.route(
    /\/api\/v1\/(sandboxes|sandbox-hosts|sandbox-choices|snapshots)/,
    async (route) => {
      const { pathname } = new URL(route.request().url());
      if (pathname.endsWith('/desktop/thumbnail')) {
        return pathname.includes(SANDBOX_ID)
          ? route.fulfill({ contentType: 'image/png', body: PICTURE })
          : route.fulfill({ status: 503, json: NO_PICTURE });
      }
      if (pathname.endsWith('8/git/status')) {
        return route.fulfill({ status: 404, json: NO_REPOSITORY });
      }
      for (const [pattern, figures] of STREAMS) {
        if (pattern.test(pathname)) {
          const body = `data: ${JSON.stringify(figures())}\n\n`;
          return route.fulfill({ contentType: 'text/event-stream', body });
        }
      }
      for (const [pattern, answer] of ANSWERS) {
        const match = pattern.exec(pathname);
        if (!match) continue;
        const json = answer(match[1] ?? '');
        return json === undefined ? route.fulfill(GONE) : route.fulfill({ json });
      }
      return route.abort();
    },
  );
  await page.routeWebSocket(/\/attach/, (socket) => {
    socket.send(JSON.stringify({ type: 'attached', offset: 0 }));
    socket.send(Buffer.from('\x1b[32muser@sandbox\x1b[0m:\x1b[34m~\x1b[0m$ '));
  });
  await page.goto(path);
};

export const sandboxPath = (index: number, tab = '') =>
  `/sandboxes/sbx_${'0'.repeat(25)}${index}/${tab}`.replace(/\/$/, '');
export const hostPath = `/hosts/${HOST_ID}`;
