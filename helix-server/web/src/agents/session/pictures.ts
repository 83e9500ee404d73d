/** Pictures for a prompt. */

export interface Picture {
  mime: string;
  /** Base 64. */
  data: string;
}

/** What models take, as it is. */
const TAKEN = new Set(['image/png', 'image/jpeg', 'image/gif', 'image/webp']);
/** A larger file is made smaller: models look at no more than so many pixels anyway. */
const LARGEST_FILE = 700 * 1024;
const LARGEST_SIDE = 1_568;
/** The most of all pictures of a prompt, in characters: what a command has room for. */
export const MOST_DATA = 2_500_000;

/** The picture as it is sent; null for what is no picture that the browser can read. */
export async function readPicture(file: Blob): Promise<Picture | null> {
  if (TAKEN.has(file.type) && file.size <= LARGEST_FILE) {
    return { mime: file.type, data: await base64(file) };
  }
  if (!file.type.startsWith('image/')) return null;
  let picture: ImageBitmap;
  try {
    picture = await createImageBitmap(file);
  } catch {
    return null;
  }
  const scale = Math.min(1, LARGEST_SIDE / Math.max(picture.width, picture.height));
  const canvas = new OffscreenCanvas(
    Math.max(1, Math.round(picture.width * scale)),
    Math.max(1, Math.round(picture.height * scale)),
  );
  canvas.getContext('2d')?.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  const smaller = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.85 });
  return { mime: smaller.type, data: await base64(smaller) };
}

async function base64(blob: Blob): Promise<string> {
  const url = await new Promise<string>((read, failed) => {
    const reader = new FileReader();
    reader.onload = () => {
      read(typeof reader.result === 'string' ? reader.result : '');
    };
    reader.onerror = () => {
      failed(new Error('the file could not be read'));
    };
    reader.readAsDataURL(blob);
  });
  return url.slice(url.indexOf(',') + 1);
}
