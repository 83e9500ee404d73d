/**
 * Reads images in the format QOI (the specification is one page: https://qoiformat.org), of three
 * channels. It is small and lossless, and reading it takes less time than waking up a decoder.
 */

const HEADER = 14;
const MAGIC = 0x716f6966;

/** Opaque black, as it lies in memory: red first. */
const BLACK = 0xff000000;

/** The pixels, red first; none where it is no image of so many pixels. */
export function readQoi(bytes: Uint8Array, pixels: number): Uint8ClampedArray<ArrayBuffer> | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER || view.getUint32(0) !== MAGIC || bytes[12] !== 3) return null;
  if (view.getUint32(4) * view.getUint32(8) !== pixels) return null;
  const out = new Uint32Array(pixels);
  return fill(out, bytes) ? new Uint8ClampedArray(out.buffer) : null;
}

function fill(out: Uint32Array, bytes: Uint8Array): boolean {
  const seen = new Uint32Array(64);
  let [red, green, blue] = [0, 0, 0];
  let pixel = BLACK;
  let from = HEADER;
  const next = () => bytes[from++] ?? 0;
  for (let at = 0; at < out.length; at += 1) {
    if (from >= bytes.length) return false;
    const chunk = next();
    if (chunk === 0xfe) {
      [red, green, blue] = [next(), next(), next()];
    } else if (chunk === 0xff) {
      // One of four channels.
      return false;
    } else if (chunk >= 0xc0) {
      // The same again, so many times.
      const end = at + (chunk & 0x3f);
      if (end >= out.length) return false;
      out.fill(pixel, at, end + 1);
      at = end;
      continue;
    } else if (chunk >= 0x80) {
      const [toGreen, rest] = [(chunk & 0x3f) - 32, next()];
      red = (red + toGreen - 8 + (rest >> 4)) & 0xff;
      green = (green + toGreen) & 0xff;
      blue = (blue + toGreen - 8 + (rest & 0x0f)) & 0xff;
    } else if (chunk >= 0x40) {
      red = (red + ((chunk >> 4) & 3) - 2) & 0xff;
      green = (green + ((chunk >> 2) & 3) - 2) & 0xff;
      blue = (blue + (chunk & 3) - 2) & 0xff;
    } else {
      const known = seen[chunk] ?? 0;
      [red, green, blue] = [known & 0xff, (known >> 8) & 0xff, (known >> 16) & 0xff];
    }
    pixel = (BLACK | (blue << 16) | (green << 8) | red) >>> 0;
    seen[(red * 3 + green * 5 + blue * 7 + 255 * 11) % 64] = pixel;
    out[at] = pixel;
  }
  return true;
}
