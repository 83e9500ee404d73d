/** What of a sandbox can be changed later: its limits, and when it is stopped. */
import type { Sandbox, SandboxLimits, UpdateSandboxRequest } from '../api/types';
import { formatDuration } from '../format';
import { IDLE_TIMES, LIFETIMES, NEVER, within } from './sandbox-form';

const GIB = 1024 ** 3;

/** Nothing is changed about when it is stopped for good. */
export const AS_IT_IS = 'as-it-is';

export interface SettingsForm {
  cores: number | '';
  memoryGib: number | '';
  diskGib: number | '';
  pids: number | '';
  idleTimeout: string;
  /** How long from now. */
  ttl: string;
}

const gib = (bytes: number) => Math.round((bytes / GIB) * 1_000) / 1_000;

export function settingsOf({ limits, idle_timeout_ms: idle }: Sandbox): SettingsForm {
  return {
    cores: limits.cpu_millis / 1_000,
    memoryGib: gib(limits.memory_bytes),
    diskGib: gib(limits.disk_bytes),
    pids: limits.pids,
    idleTimeout: idle == null ? NEVER : String(idle),
    ttl: AS_IT_IS,
  };
}

/** The choices of an idle timeout, with the one that it has. */
export function idleTimes(sandbox: Sandbox): { value: string; label: string }[] {
  const value = String(sandbox.idle_timeout_ms ?? NEVER);
  if (IDLE_TIMES.some((each) => each.value === value)) return IDLE_TIMES;
  return [{ value, label: formatDuration(Number(value)) }, ...IDLE_TIMES];
}

export function lifetimes(sandbox: Sandbox): { value: string; label: string }[] {
  const label = sandbox.expires_at_ms == null ? 'Never, as it is' : 'As it is';
  const from = LIFETIMES.filter(({ value }) => value !== NEVER || sandbox.expires_at_ms != null);
  return [
    { value: AS_IT_IS, label },
    ...from.map((each) =>
      each.value === NEVER ? each : { ...each, label: `${each.label} from now` },
    ),
  ];
}

type Errors = Partial<Record<keyof SettingsForm, string>>;

/** What is wrong with each field, if anything. */
export function checkSettings(sandbox: Sandbox, form: SettingsForm): Errors {
  const shrinks = form.diskGib !== '' && form.diskGib < gib(sandbox.limits.disk_bytes);
  const errors = {
    cores: within(form.cores, 0.05, 1_024),
    memoryGib: within(form.memoryGib, 1 / 64, 1_048_576),
    diskGib: shrinks ? 'A disk only grows' : within(form.diskGib, 1 / 16, 1_048_576),
    pids: within(form.pids, 16, 4_194_304),
  };
  return Object.fromEntries(Object.entries(errors).filter(([, error]) => error !== null));
}

/** What is to be changed: nothing of what was left as it was. */
export function changeOf(sandbox: Sandbox, form: SettingsForm): UpdateSandboxRequest {
  const before = settingsOf(sandbox);
  const limits: Partial<SandboxLimits> = {
    ...(form.cores !== before.cores && { cpu_millis: Math.round(Number(form.cores) * 1_000) }),
    ...(form.memoryGib !== before.memoryGib && {
      memory_bytes: Math.round(Number(form.memoryGib) * GIB),
    }),
    ...(form.diskGib !== before.diskGib && { disk_bytes: Math.round(Number(form.diskGib) * GIB) }),
    ...(form.pids !== before.pids && { pids: Number(form.pids) }),
  };
  const time = (value: string) => (value === NEVER ? null : Number(value));
  return {
    ...(Object.keys(limits).length > 0 && { limits }),
    ...(form.idleTimeout !== before.idleTimeout && { idle_timeout_ms: time(form.idleTimeout) }),
    ...(form.ttl !== AS_IT_IS && { ttl_ms: time(form.ttl) }),
  };
}
