import { patched, Pixels, type Picture } from './picture';

interface Options {
  onPicture: (picture: Picture) => void;
  onSkipped: () => void;
}

/** The largest picture that is worth it, in pixels: beyond it, a copy costs more than it saves. */
const MOST = 4096 * 2304;
/** One is painted while another is written. */
const KEPT = 2;

/**
 * Turns decoded frames that are in the machine's own memory into what a canvas has there.
 *
 * Drawing such a frame lets the browser do this, pixel by pixel: 8.7 ms for 1280 by 720 in
 * Chromium 148 without a graphics card, where `copyTo` and `putImageData` take 1.8. A frame
 * that is on a graphics card has another format, or none, and is drawn: that never leaves it.
 *
 * One at a time, then the newest.
 */
export class Unpacker {
  readonly #options: Options;
  /** Memory that is not in use. */
  #free: ImageData[] = [];
  #next: Picture | undefined;
  #busy = false;
  #run = 0;
  /** Whether this browser copies into no other format than the frame's own. */
  #cannot = false;

  constructor(options: Options) {
    this.#options = options;
  }

  take(picture: Picture): void {
    if (!this.#busy && (this.#cannot || !inMemory(picture.image))) {
      this.#options.onPicture(picture);
      return;
    }
    if (this.#next && !picture.image) {
      this.#next = patched(this.#next, picture);
      return;
    }
    if (this.#next) {
      this.#next.image?.close();
      this.#options.onSkipped();
    }
    this.#next = picture;
    if (this.#busy) return;
    this.#work().catch((error: unknown) => {
      reportError(error);
    });
  }

  /** What is at work is not wanted any more. */
  drop(): void {
    this.#run += 1;
    this.#next?.image?.close();
    this.#next = undefined;
  }

  async #work(): Promise<void> {
    this.#busy = true;
    try {
      for (let picture = this.#next; picture; picture = this.#next) {
        this.#next = undefined;
        const run = this.#run;
        const image = await this.#unpacked(picture.image);
        if (run === this.#run) this.#options.onPicture({ ...picture, image });
        else image?.close();
      }
    } finally {
      // Whatever becomes of one picture, others come.
      this.#busy = false;
    }
  }

  /** The same picture in memory; as it was, where that cannot be done. */
  async #unpacked(image: Picture['image']): Promise<Picture['image']> {
    if (this.#cannot || !inMemory(image)) return image;
    const data = this.#memory(image.displayWidth, image.displayHeight);
    try {
      await image.copyTo(data.data, { format: 'RGBA' });
    } catch {
      this.#cannot = true;
      return image;
    }
    image.close();
    return new Pixels(data, (memory) => {
      if (this.#free.length < KEPT) this.#free.push(memory);
    });
  }

  #memory(width: number, height: number): ImageData {
    this.#free = this.#free.filter((data) => data.width === width && data.height === height);
    return this.#free.pop() ?? new ImageData(width, height);
  }
}

function inMemory(image: Picture['image']): image is VideoFrame {
  if (!image || !('copyTo' in image) || image.format !== 'I420') return false;
  const { visibleRect, displayWidth, displayHeight } = image;
  return (
    visibleRect?.width === displayWidth &&
    visibleRect.height === displayHeight &&
    displayWidth * displayHeight <= MOST
  );
}
