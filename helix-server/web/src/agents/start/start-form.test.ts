import { describe, expect, it } from 'vitest';

import { checkStart, toSession, type StartForm } from './start-form';

const FORM: StartForm = {
  agent: 'opencode',
  prompt: '',
  where: 'existing',
  sandboxId: 'sbx_1',
  directory: '',
  repository: '',
  branch: '',
  model: '',
};

describe('starting a session with an agent', () => {
  it('asks for what is missing', () => {
    expect(checkStart(FORM)).toEqual({});
    const empty = { ...FORM, agent: '', sandboxId: '', branch: 'main' };
    expect(Object.keys(checkStart(empty))).toEqual(['agent', 'sandboxId', 'branch']);
    expect(checkStart({ ...empty, agent: 'a', where: 'new', branch: '' })).toEqual({});
  });

  it.each([
    ['https://git.example.com/me/app.git', true],
    ['git@git.example.com:me/app.git', true],
    ['ssh://git@git.example.com/me/app', true],
    ['app', false],
    ['file:///etc', false],
    ['https://', false],
  ])('takes %s for a repository: %s', (repository, taken) => {
    expect(checkStart({ ...FORM, repository }).repository === undefined).toBe(taken);
  });

  it('asks for exactly one sandbox', () => {
    expect(toSession(FORM, null)).toEqual({ agent: { agent: 'opencode', sandbox_id: 'sbx_1' } });
    const whole = { ...FORM, directory: ' /srv ', repository: 'https://e.com/a', model: 'tiny' };
    expect(toSession({ ...whole, branch: 'main' }, { docker: true })).toEqual({
      model: 'tiny',
      agent: {
        agent: 'opencode',
        sandbox: { docker: true },
        directory: '/srv',
        repository: { url: 'https://e.com/a', branch: 'main' },
        model: 'tiny',
      },
    });
  });
});
