/** What colour something has on the screen. */
import type { Locator } from '@playwright/test';

type Colour = [red: number, green: number, blue: number];

/** Encoders are allowed to miss a colour by so much. */
const NEAR = 40;

/** The colour of one pixel, by default right below the middle, where no pointer is. */
export async function pixelOf(shown: Locator, at = { x: 0.6, y: 0.7 }): Promise<Colour | null> {
  if ((await shown.count()) === 0) return null;
  const picture = (await shown.screenshot()).toString('base64');
  return shown.page().evaluate(
    async ([encoded, x, y]) => {
      const bytes = Uint8Array.from(atob(encoded), (char) => char.charCodeAt(0));
      const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
      const surface = new OffscreenCanvas(1, 1).getContext('2d');
      if (!surface) return null;
      surface.drawImage(bitmap, Math.round(-bitmap.width * x), Math.round(-bitmap.height * y));
      const [red = 0, green = 0, blue = 0] = surface.getImageData(0, 0, 1, 1).data;
      return [red, green, blue] as [number, number, number];
    },
    [picture, at.x, at.y] as const,
  );
}

/** `it is` where it is about that colour, else which one it is. */
export async function isColour(shown: Locator, wanted: Colour): Promise<string> {
  const pixel = await pixelOf(shown);
  if (!pixel) return 'there is none';
  const near = pixel.every((value, channel) => Math.abs(value - (wanted[channel] ?? 0)) <= NEAR);
  return near ? 'it is' : `it is ${JSON.stringify(pixel)}`;
}
