import { describe, expect, it } from 'vitest';

import type { CatalogueAgentDetails } from '../../api/types';
import { checkAgent, EMPTY_AGENT, toForm, toPut } from './agent-form';

const OPENCODE: CatalogueAgentDetails = {
  name: 'opencode',
  title: 'opencode',
  description: 'The open source coding agent.',
  model_api: 'chat_completions',
  installs: true,
  built_in: false,
  enabled: true,
  command: ['sh', '-c', 'exec opencode acp'],
  install: ['npm install --global opencode-ai'],
  environment: [{ name: 'CONFIG', value: '{"key": "{HELIX_API_KEY}=="}' }],
};

describe('an agent of the catalogue', () => {
  it('comes back from the form as it went in', () => {
    const form = toForm(OPENCODE);
    expect(checkAgent(form)).toEqual({});
    const { title, description, model_api, enabled, command, install, environment } = OPENCODE;
    const same = { title, description, model_api, enabled, command, install, environment };
    expect(toPut(form)).toEqual(same);
  });

  it('needs a name, a title and a program', () => {
    expect(Object.keys(checkAgent(EMPTY_AGENT))).toEqual(['name', 'title', 'command']);
    expect(checkAgent({ ...toForm(OPENCODE), name: 'Open Code' }).name).toBeDefined();
    expect(checkAgent({ ...toForm(OPENCODE), environment: 'no variable' })).toEqual({
      environment: 'One NAME=value on each line',
    });
  });
});
