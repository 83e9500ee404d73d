/**
 * Calls about what is inside a sandbox. A path there is bytes, percent-encoded once, and kept
 * encoded everywhere here: a client that encoded it again would name another file.
 */

/** The address of something inside a sandbox. */
export function insideUrl(sandboxId: string, route: string): string {
  return `/api/v1/sandboxes/${encodeURIComponent(sandboxId)}/${route}`;
}

/** Writes a query whose paths are encoded already. */
export function filesQuery(query: Record<string, unknown>): string {
  const parts = Object.entries(query).map(([name, value]) => {
    const text = String(value);
    // A plus sign would be read as a space.
    return `${name}=${name === 'path' ? text.replaceAll('+', '%2B') : encodeURIComponent(text)}`;
  });
  return parts.join('&');
}

/** Who acts on files, where it is not the ordinary user. */
export const asUser = (user: FileUser): { user?: 'root' } => (user === 'root' ? { user } : {});

/** Who acts on files. */
export type FileUser = 'user' | 'root';

/** The value of a JSON text; undefined for anything else. */
export function readJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
