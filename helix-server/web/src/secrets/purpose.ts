import type { SecretKind } from '../api/types';

/** What a secret is for, in a few words. */
export function purposeOf(kind: SecretKind): string {
  return kind.type === 'git'
    ? `Git on ${kind.host}, as ${kind.username}`
    : `The variable ${kind.variable}`;
}
