import { describe, expect, it } from 'vitest';

import type { Egress } from '../api/types';
import { checkPorts, checkRules, checkTarget, egressForm, newRule, toEgress } from './egress-rules';

describe('whom a rule names', () => {
  it.each(['example.com', '*.example.com', 'a', 'db.corp.', '_dmarc.example.com', '10.1.2.3'])(
    'may be %s',
    (to) => {
      expect(checkTarget(to)).toBeNull();
    },
  );

  it.each(['10.1.0.0/16', '0.0.0.0/0'])('may be the network %s', (to) => {
    expect(checkTarget(to)).toBeNull();
  });

  it.each([
    '',
    '*',
    'a.*.com',
    '-a.com',
    'a b',
    '10.1.2',
    '300.1.1.1',
    '10.0.0.0/33',
    'fe80::1',
    'https://a',
  ])('is not %j', (to) => {
    expect(checkTarget(to)).not.toBeNull();
  });
});

describe('the ports of a rule', () => {
  it.each(['', '443', '80, 443', '8000-8999', '1-65535'])('may be %j', (ports) => {
    expect(checkPorts(ports)).toBeNull();
  });

  it.each(['0', '65536', '9-8', 'http', '1-2-3', Array(17).fill('1').join(',')])(
    'are not %j',
    (ports) => {
      expect(checkPorts(ports)).not.toBeNull();
    },
  );
});

it('a policy that is edited and left alone is sent as it was', () => {
  const egress: Egress = {
    mode: 'allow_list',
    rules: [
      { to: '*.example.com', ports: ['443', '8000-8999'], protocol: 'tcp' },
      { to: '10.1.0.0/16' },
    ],
  };
  expect(toEgress(egressForm(egress))).toEqual(egress);
  expect(toEgress(egressForm({ mode: 'none' }))).toEqual({ mode: 'none' });
});

it('rules matter only while there is a list', () => {
  const wrong = newRule({ to: 'a b' });
  expect(Object.keys(checkRules({ mode: 'allow_list', rules: [wrong] }))).toEqual([wrong.key]);
  expect(checkRules({ mode: 'open', rules: [wrong] })).toEqual({});
  expect(toEgress({ mode: 'open', rules: [wrong] })).toEqual({ mode: 'open' });
});
