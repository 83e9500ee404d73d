/** What of a file can be shown, and how. */

/** No more than this is read of a file to show it. */
export const MOST_SHOWN = 512 * 1024;

/** The bytes as text; undefined if they are none. The last character may be cut unless `whole`. */
export function asText(bytes: Uint8Array, whole: boolean): string | undefined {
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: !whole });
  } catch {
    return undefined;
  }
}

const IMAGES: { type: string; begins: number[] }[] = [
  { type: 'image/png', begins: [0x89, 0x50, 0x4e, 0x47] },
  { type: 'image/jpeg', begins: [0xff, 0xd8, 0xff] },
  { type: 'image/gif', begins: [0x47, 0x49, 0x46, 0x38] },
];

/** The type of a picture, by its first bytes and not by what it is called. */
export function imageType(bytes: Uint8Array): string | undefined {
  return IMAGES.find(({ begins }) => begins.every((byte, at) => bytes[at] === byte))?.type;
}
