import { expect, it } from 'vitest';

import { PasteGate, pastes } from './paste';

it('what follows a paste waits until it was read, and keeps its order', async () => {
  const gate = new PasteGate();
  const did: string[] = [];
  let read: () => void = () => undefined;
  gate.run(() => did.push('before'));
  const reading = new Promise<void>((done) => {
    read = () => {
      did.push('read');
      done();
    };
  });
  gate.hold(reading);
  gate.run(() => did.push('down'));
  gate.run(() => did.push('up'));
  expect(did).toEqual(['before']);
  read();
  await reading;
  expect(did).toEqual(['before', 'read', 'down', 'up']);
  gate.run(() => did.push('after'));
  expect(did.at(-1)).toBe('after');
});

it('what cannot be read holds nothing back for ever', async () => {
  const gate = new PasteGate();
  const did: string[] = [];
  const reading = Promise.reject(new Error('no'));
  gate.hold(reading);
  gate.run(() => did.push('down'));
  await reading.catch(() => undefined);
  expect(did).toEqual(['down']);
});

it.each([
  ['Ctrl+V', 'KeyV', 'ctrl', true],
  ['Ctrl+Shift+V', 'KeyV', 'ctrl shift', true],
  ['Cmd+V', 'KeyV', 'meta', true],
  ['Shift+Insert', 'Insert', 'shift', true],
  ['V', 'KeyV', '', false],
  ['Insert', 'Insert', '', false],
  ['Ctrl+Alt+V', 'KeyV', 'ctrl alt', false],
])('%s', (_, code, held, expected) => {
  const has = (name: string) => held.includes(name);
  const press = {
    code,
    ctrlKey: has('ctrl'),
    metaKey: has('meta'),
    shiftKey: has('shift'),
    altKey: has('alt'),
  };
  expect(pastes(press)).toBe(expected);
});
