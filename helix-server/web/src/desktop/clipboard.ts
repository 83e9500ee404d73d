/** The two kinds of what is copied and pasted, and how a browser reads and writes them. */
import { copyText } from '../components/use-copy';
import type { DownOf, UpOf } from './wire';

type Content = Pick<UpOf<'clipboard'>, 'mime' | 'content'>;

const TEXT = 'text/plain;charset=utf-8';
const PNG = 'image/png';

/** What is pasted, as it is told to the desktop: a text, else a picture. */
export async function readPasted(data: DataTransfer): Promise<Content | null> {
  const text = data.getData('text/plain');
  if (text !== '') return { mime: TEXT, content: new TextEncoder().encode(text) };
  const image = [...data.files].find(({ type }) => type === PNG);
  if (!image) return null;
  return { mime: PNG, content: new Uint8Array(await image.arrayBuffer()) };
}

/**
 * Copies what was copied in the desktop; false where the browser does not let a page do so. Some
 * let it when somebody `asked` for it just now.
 */
export async function copyHere(
  { mime, content }: DownOf<'clipboard'>,
  asked: boolean,
): Promise<boolean> {
  const text = mime === TEXT ? new TextDecoder().decode(content) : undefined;
  // The older way takes the keyboard from the desktop for a moment.
  if (text !== undefined && asked) return copyText(text);
  if (!window.isSecureContext || (text === undefined && mime !== PNG)) return false;
  try {
    if (text !== undefined) await navigator.clipboard.writeText(text);
    else await navigator.clipboard.write([pictureItem(content)]);
    return true;
  } catch {
    return false;
  }
}

const pictureItem = (content: Uint8Array<ArrayBuffer>): ClipboardItem =>
  new ClipboardItem({ [PNG]: new Blob([content], { type: PNG }) });
