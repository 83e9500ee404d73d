import { expect, it } from 'vitest';

import { agentAtFirst } from './agent-choice';

const agent = (name: string, model_api: 'none' | 'messages', installs: boolean) => ({
  name,
  model_api,
  installs,
});
const CLAUDE = agent('claude-code', 'messages', true);
const GEMINI = agent('gemini-cli', 'none', true);
const HELIX = agent('helix', 'messages', false);
const OWN = agent('own', 'none', false);

it.each([
  [[CLAUDE, GEMINI, HELIX], true, null, 'helix'],
  [[CLAUDE, GEMINI], true, null, 'claude-code'],
  [[GEMINI, CLAUDE], true, null, 'claude-code'],
  [[CLAUDE, GEMINI, HELIX], true, 'gemini-cli', 'gemini-cli'],
  [[CLAUDE, HELIX], true, 'gone', 'helix'],
  [[CLAUDE, OWN], false, null, 'own'],
  [[], true, 'helix', undefined],
] as const)('of %j, with models: %s, last %s: %s', (agents, models, last, chosen) => {
  expect(agentAtFirst(agents, models, last)).toBe(chosen);
});
