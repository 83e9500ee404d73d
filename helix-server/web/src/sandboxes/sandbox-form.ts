/** The form that makes a sandbox: its values, what it checks, and the request it makes. */
import type { CreateSandboxRequest, HostChoice, SandboxLimits, SandboxPhase } from '../api/types';
import { desktopChosen, NO_DESKTOP } from '../desktop/spec';
import { count, formatBytes } from '../format';
import { checkRules, toEgress, type EgressForm } from './egress-rules';

const GIB = 1024 ** 3;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export const SIZES = {
  small: { label: 'Small', cores: 1, memoryGib: 1, diskGib: 5, pids: 1_024 },
  medium: { label: 'Medium', cores: 2, memoryGib: 4, diskGib: 10, pids: 4_096 },
  large: { label: 'Large', cores: 4, memoryGib: 8, diskGib: 40, pids: 8_192 },
} as const;

export type Size = keyof typeof SIZES | 'custom';

/** The most files that one process may open; nobody is asked for it. */
const OPEN_FILES = 65_536;

export interface SandboxForm {
  name: string;
  rootfs: 'host' | 'image';
  image: string;
  egress: EgressForm;
  size: Size;
  cores: number | '';
  memoryGib: number | '';
  diskGib: number | '';
  pids: number | '';
  docker: boolean;
  /** One of `DESKTOP_CHOICES`. */
  desktop: string;
  /** Whether the desktop's clipboard is passed on. */
  clipboard: boolean;
  idleTimeout: string;
  ttl: string;
  host: string;
  env: string;
  /** By name. */
  secrets: string[];
}

export const NEVER = 'never';

export const IDLE_TIMES = [
  { value: String(15 * MINUTE), label: '15 minutes' },
  { value: String(HOUR), label: 'One hour' },
  { value: String(8 * HOUR), label: '8 hours' },
  { value: String(DAY), label: 'One day' },
  { value: NEVER, label: 'Never' },
];

export const LIFETIMES = [
  { value: String(HOUR), label: 'One hour' },
  { value: String(8 * HOUR), label: '8 hours' },
  { value: String(DAY), label: 'One day' },
  { value: String(7 * DAY), label: 'One week' },
  { value: String(30 * DAY), label: '30 days' },
  { value: NEVER, label: 'Never' },
];

/** The host with the most room, as the server chooses it. */
export const ANY_HOST = 'any';

const { cores, memoryGib, diskGib, pids } = SIZES.medium;

export const EMPTY_FORM: SandboxForm = {
  name: '',
  rootfs: 'host',
  image: '',
  egress: { mode: 'open', rules: [] },
  size: 'medium',
  cores,
  memoryGib,
  diskGib,
  pids,
  docker: false,
  desktop: NO_DESKTOP,
  clipboard: true,
  idleTimeout: String(8 * HOUR),
  ttl: NEVER,
  host: ANY_HOST,
  env: '',
  secrets: [],
};

export const within = (value: number | '', least: number, most: number) =>
  value !== '' && value >= least && value <= most ? null : `${least} to ${most.toLocaleString()}`;

type Errors = Partial<Record<keyof SandboxForm, string>>;

/** What is wrong with each field, if anything. */
export function checkForm(form: SandboxForm): Errors {
  const custom = form.size === 'custom';
  const errors: Partial<Record<keyof SandboxForm, string | null>> = {
    name: form.name.trim().length > 100 ? 'At most 100 characters' : null,
    image:
      form.rootfs === 'image' && form.image.trim() === ''
        ? 'Enter an image, such as debian:12'
        : null,
    cores: custom ? within(form.cores, 0.05, 1_024) : null,
    memoryGib: custom ? within(form.memoryGib, 1 / 64, 1_048_576) : null,
    diskGib: custom ? within(form.diskGib, 1 / 16, 1_048_576) : null,
    pids: custom ? within(form.pids, 16, 4_194_304) : null,
    egress: Object.keys(checkRules(form.egress)).length > 0 ? 'A rule is not complete' : null,
    env: checkEnv(form.env),
  };
  return Object.fromEntries(Object.entries(errors).filter(([, error]) => error != null));
}

const MOST_VARIABLES = 256;

function checkEnv(text: string): string | null {
  const variables = lines(text);
  if (variables.length > MOST_VARIABLES) return `At most ${MOST_VARIABLES}`;
  const wrong = variables.some((line) => !/^[A-Za-z_]\w*=/.test(line));
  return wrong ? 'One NAME=value on each line' : null;
}

const lines = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

/** The request for a form that has no errors. */
export function toRequest(form: SandboxForm): CreateSandboxRequest {
  const name = form.name.trim();
  const env = lines(form.env).map((line): [string, string] => {
    const equals = line.indexOf('=');
    return [line.slice(0, equals), line.slice(equals + 1)];
  });
  const desktop = desktopChosen(form.desktop, form.clipboard);
  return {
    ...(name !== '' && { name }),
    rootfs:
      form.rootfs === 'image' ? { kind: 'image', image: form.image.trim() } : { kind: 'host' },
    egress: toEgress(form.egress),
    limits: toLimits(form),
    docker: form.docker,
    ...(desktop && { desktop }),
    ...(env.length > 0 && { env: Object.fromEntries(env) }),
    ...(form.secrets.length > 0 && { secrets: form.secrets }),
    ...(form.idleTimeout !== NEVER && { idle_timeout_ms: Number(form.idleTimeout) }),
    ...(form.ttl !== NEVER && { ttl_ms: Number(form.ttl) }),
    ...(form.host !== ANY_HOST && { host_id: form.host }),
  };
}

function toLimits(form: SandboxForm): SandboxLimits {
  const chosen = form.size === 'custom' ? form : SIZES[form.size];
  return {
    cpu_millis: Math.round(Number(chosen.cores) * 1_000),
    memory_bytes: Math.round(Number(chosen.memoryGib) * GIB),
    disk_bytes: Math.round(Number(chosen.diskGib) * GIB),
    pids: Number(chosen.pids),
    open_files: OPEN_FILES,
  };
}

/** Limits in a few words. */
export function describeLimits(limits: SandboxLimits): string {
  return [
    formatCores(limits.cpu_millis),
    `${formatBytes(limits.memory_bytes)} memory`,
    `${formatBytes(limits.disk_bytes)} disk`,
  ].join(' · ');
}

/** `1500` → `1.5 cores`. */
export function formatCores(millis: number): string {
  const amount = millis / 1_000;
  const text = amount >= 9.95 ? amount.toFixed(0) : amount.toFixed(amount < 0.095 ? 2 : 1);
  const shown = text.replace(/\.0+$/, '');
  return shown === '1' ? '1 core' : `${shown} cores`;
}

/** What is offered by a host, or by any of those that take sandboxes now. */
export interface Offer {
  /** How many hosts these are. */
  hosts: number;
  hostRootfs: boolean;
  docker: boolean;
  desktop: boolean;
  /** By name, with their sizes. */
  images: { name: string; size_bytes: number }[];
}

export function offerOf(hosts: HostChoice[], host: string): Offer {
  const chosen = hosts.filter(({ id, available }) => (host === ANY_HOST ? available : id === host));
  const images = new Map(
    chosen.flatMap((each) => each.images.map((image) => [image.name, image.size_bytes] as const)),
  );
  return {
    hosts: chosen.length,
    hostRootfs: chosen.some((each) => each.host_rootfs),
    docker: chosen.some((each) => each.docker),
    desktop: chosen.some((each) => each.desktop),
    images: [...images]
      .map(([name, size_bytes]) => ({ name, size_bytes }))
      .sort((one, other) => one.name.localeCompare(other.name)),
  };
}

/** What is done to a sandbox that is being made, in this order. */
export const PHASES: { phase: SandboxPhase; label: string }[] = [
  { phase: 'placing', label: 'Choosing a host' },
  { phase: 'filesystem', label: 'Making its disk' },
  { phase: 'isolation', label: 'Isolating it' },
  { phase: 'guest', label: 'Starting it' },
  { phase: 'docker', label: 'Starting Docker' },
];

/** What the limits of a size come to. */
export function describeSize(size: keyof typeof SIZES): string {
  const each = SIZES[size];
  return `${count(each.cores, 'core')}, ${each.memoryGib} GiB memory, ${each.diskGib} GiB disk`;
}
