import type { CatalogueAgent } from '../../api/types';

const LAST_AGENT = 'helix-last-agent';

type Known = Pick<CatalogueAgent, 'name' | 'model_api' | 'installs'>;

/**
 * The agent that is chosen at first: the one chosen last, else the first that can be asked at once,
 * and of those one that is installed nowhere first.
 */
export function agentAtFirst(
  agents: readonly Known[],
  models: boolean,
  last: string | null,
): string | undefined {
  const needs = ({ model_api, installs }: Known): number => {
    // One with models of its own has its user sign in there.
    const asks = model_api === 'none' || !models ? 2 : 0;
    return asks + (installs ? 1 : 0);
  };
  const least = [...agents].sort((one, other) => needs(one) - needs(other));
  return (agents.find(({ name }) => name === last) ?? least[0])?.name;
}

export function remembered(): string | null {
  try {
    return localStorage.getItem(LAST_AGENT);
  } catch {
    return null;
  }
}

export function remember(agent: string): void {
  try {
    localStorage.setItem(LAST_AGENT, agent);
  } catch {
    // Storage is switched off: the next page chooses as the first one did.
  }
}
