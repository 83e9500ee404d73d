/**
 * Paths in a sandbox. They are bytes, kept percent-encoded as the API gives them: names need not
 * be UTF-8.
 */

export const HOME = '/home/user';

/** A name as people type it, as part of a path. */
export function encodeName(name: string): string {
  return encodeURIComponent(name);
}

/** A path as people type it. */
export function encodePath(path: string): string {
  return path.split('/').map(encodeName).join('/');
}

const LOSSY = new TextDecoder();

/** A path, or a part of one, as people read it; a replacement character for what is not UTF-8. */
export function decodePath(path: string): string {
  const bytes: number[] = [];
  for (let at = 0; at < path.length; at += 1) {
    const code = /^%[0-9a-f]{2}/i.exec(path.slice(at, at + 3))?.[0];
    if (code === undefined) {
      bytes.push(...new TextEncoder().encode(path.charAt(at)));
    } else {
      bytes.push(parseInt(code.slice(1), 16));
      at += 2;
    }
  }
  return LOSSY.decode(new Uint8Array(bytes));
}

/** `name` in `folder`; both encoded. */
export function inside(folder: string, name: string): string {
  return folder === '/' ? `/${name}` : `${folder}/${name}`;
}

/** The folder that a path is in; the root is in itself. */
export function folderOf(path: string): string {
  const end = path.lastIndexOf('/');
  return end <= 0 ? '/' : path.slice(0, end);
}

/** An absolute path without `.`, `..` and empty parts. */
export function normalised(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}

/** Where a link in `folder` leads: an encoded path. */
export function linkTarget(folder: string, target: string): string {
  const encoded = encodePath(target);
  return normalised(encoded.startsWith('/') ? encoded : inside(folder, encoded));
}

/** The folders on the way to a path, each with its own path, the root first. */
export function crumbs(path: string): { name: string; path: string }[] {
  const parts = path.split('/').filter((part) => part !== '');
  return [
    { name: '/', path: '/' },
    ...parts.map((part, index) => ({
      name: decodePath(part),
      path: `/${parts.slice(0, index + 1).join('/')}`,
    })),
  ];
}

/** What is wrong with a new name, if anything. */
export function fileNameRule(name: string): string | null {
  if (name.trim() === '') return 'Enter a name';
  if (name.includes('/')) return 'A name has no slash';
  if (name === '.' || name === '..') return 'This name is taken by the system';
  return new TextEncoder().encode(name).length > 255 ? 'At most 255 bytes' : null;
}

const KINDS = ['---', '--x', '-w-', '-wx', 'r--', 'r-x', 'rw-', 'rwx'];

/** `0o755` → `rwxr-xr-x`. */
export function formatMode(mode: number): string {
  return [6, 3, 0].map((shift) => KINDS[(mode >> shift) & 7] ?? '').join('');
}
