import { describe, expect, it } from 'vitest';

import type { HostChoice } from '../api/types';
import { newRule } from './egress-rules';
import {
  ANY_HOST,
  checkForm,
  describeLimits,
  EMPTY_FORM,
  formatCores,
  NEVER,
  offerOf,
  toRequest,
  type SandboxForm,
} from './sandbox-form';

const form = (more: Partial<SandboxForm>): SandboxForm => ({ ...EMPTY_FORM, ...more });

describe('the form that makes a sandbox', () => {
  it('is complete from the start', () => {
    expect(checkForm(EMPTY_FORM)).toEqual({});
    expect(toRequest(form({ idleTimeout: NEVER }))).toEqual({
      rootfs: { kind: 'host' },
      egress: { mode: 'open' },
      docker: false,
      limits: {
        cpu_millis: 2_000,
        memory_bytes: 4 * 1024 ** 3,
        disk_bytes: 10 * 1024 ** 3,
        pids: 4_096,
        open_files: 65_536,
      },
    });
  });

  it('asks for a desktop in the size that was chosen', () => {
    expect(toRequest(form({ desktop: '1600×900' }))).toMatchObject({
      desktop: { width: 1600, height: 900 },
    });
    const apart = form({ desktop: 'x11 1280×720', clipboard: false });
    expect(toRequest(apart).desktop).toEqual({
      kind: 'x11',
      width: 1280,
      height: 720,
      clipboard: false,
    });
  });

  it('sends what was chosen', () => {
    const request = toRequest(
      form({
        name: ' build ',
        rootfs: 'image',
        image: ' debian:12 ',
        egress: { mode: 'allow_list', rules: [newRule({ to: 'a.b', ports: '443' })] },
        size: 'custom',
        cores: 0.5,
        memoryGib: 0.25,
        diskGib: 1.5,
        pids: 64,
        docker: true,
        ttl: '3600000',
        host: 'hst_1',
        env: 'A=1\n\n B=x=y ',
        secrets: ['hub'],
      }),
    );
    expect(request).toEqual({
      name: 'build',
      rootfs: { kind: 'image', image: 'debian:12' },
      egress: { mode: 'allow_list', rules: [{ to: 'a.b', ports: ['443'] }] },
      limits: {
        cpu_millis: 500,
        memory_bytes: 256 * 1024 ** 2,
        disk_bytes: 1_536 * 1024 ** 2,
        pids: 64,
        open_files: 65_536,
      },
      docker: true,
      env: { A: '1', B: 'x=y' },
      secrets: ['hub'],
      idle_timeout_ms: 28_800_000,
      ttl_ms: 3_600_000,
      host_id: 'hst_1',
    });
  });

  it('says what is wrong, where it is', () => {
    const errors = checkForm(
      form({
        name: 'x'.repeat(101),
        rootfs: 'image',
        egress: { mode: 'allow_list', rules: [newRule()] },
        size: 'custom',
        cores: 0,
        memoryGib: '',
        diskGib: 0.01,
        pids: 1,
        env: 'no equals sign',
      }),
    );
    expect(Object.keys(errors).sort()).toEqual([
      'cores',
      'diskGib',
      'egress',
      'env',
      'image',
      'memoryGib',
      'name',
      'pids',
    ]);
  });

  it('does not mind limits that are not used', () => {
    expect(checkForm(form({ size: 'small', cores: '' }))).toEqual({});
  });
});

it('limits are told in a few words', () => {
  expect(formatCores(1_000)).toBe('1 core');
  expect(formatCores(50)).toBe('0.05 cores');
  expect(formatCores(1_500)).toBe('1.5 cores');
  expect(formatCores(64_000)).toBe('64 cores');
  const limits = { cpu_millis: 500, memory_bytes: 2 ** 30, disk_bytes: 2 ** 33 };
  expect(describeLimits({ ...limits, pids: 64, open_files: 64 })).toBe(
    '0.5 cores · 1 GiB memory · 8 GiB disk',
  );
});

it('what is offered is that of the chosen host, or of all that take sandboxes', () => {
  const host = (id: string, images: string[], more: Partial<HostChoice> = {}): HostChoice => ({
    id,
    name: id,
    available: true,
    host_rootfs: true,
    docker: false,
    desktop: false,
    cpu_millis: 1_000,
    memory_bytes: 1,
    images: images.map((name) => ({ name, size_bytes: 5 })),
    ...more,
  });
  const hosts = [
    host('one', ['debian:12', 'alpine'], { host_rootfs: false }),
    host('two', ['debian:12'], { docker: true, desktop: true }),
    host('away', ['gone'], { available: false }),
  ];
  const names = (chosen: string) => offerOf(hosts, chosen).images.map(({ name }) => name);
  expect(names(ANY_HOST)).toEqual(['alpine', 'debian:12']);
  expect(names('two')).toEqual(['debian:12']);
  expect(offerOf(hosts, ANY_HOST)).toMatchObject({
    hosts: 2,
    hostRootfs: true,
    docker: true,
    desktop: true,
  });
  expect(offerOf(hosts, 'one')).toMatchObject({
    hosts: 1,
    hostRootfs: false,
    docker: false,
    desktop: false,
  });
  expect(offerOf([], ANY_HOST)).toMatchObject({ hosts: 0, images: [] });
});
