import type { GitBranch } from '../api/types';

export interface BranchChoice {
  name: string;
  /** Whether only a server has it. */
  remote: boolean;
  current: boolean;
}

/**
 * What can be checked out: one's own branches, and those of servers that one has none of yet, by
 * the name that they then have.
 */
export function choices(branches: GitBranch[]): BranchChoice[] {
  const own = branches.filter(({ remote }) => !remote);
  const names = new Set(own.map(({ name }) => name));
  const found: BranchChoice[] = own.map(({ name, current }) => ({ name, remote: false, current }));
  for (const { name: whole, remote } of branches) {
    const name = whole.slice(whole.indexOf('/') + 1);
    if (!remote || names.has(name)) continue;
    names.add(name);
    found.push({ name, remote: true, current: false });
  }
  return found;
}
