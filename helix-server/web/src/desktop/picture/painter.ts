import { patched, Pixels, type Picture } from './picture';

/** The part of an `OffscreenCanvas` that is used. */
export interface Surface {
  width: number;
  height: number;
  getContext(
    kind: '2d',
    options: CanvasRenderingContext2DSettings,
  ): Pick<OffscreenCanvasRenderingContext2D, 'drawImage' | 'putImageData'> | null;
}

interface Options {
  surface: Surface;
  /** Calls back when the browser shows what was painted before. */
  schedule: (shown: () => void) => void;
  /** Calls back when that is done. */
  then: (done: () => void) => void;
  /** It is on the screen. */
  onPainted: (picture: Picture) => void;
  /** It never was: a newer one came first. */
  onSkipped: () => void;
}

/**
 * Paints pictures as they come, one for each thing that the browser shows.
 *
 * At once: what is painted is then ready when the browser comes to show it, and not begun. Where
 * two come between two showings, as they do when a desktop and a screen are not in step, the
 * second waits for the next: as often as not nothing else comes for that. Where something does,
 * it is painted over what has waited, so that a picture never waits for more than one showing.
 *
 * In two dimensions: a video frame on a graphics card is drawn by one blit, and a machine without
 * one has no WebGL worth the name.
 */
export class Painter {
  readonly #options: Options;
  readonly #context: ReturnType<Surface['getContext']>;
  /** Whether the browser is asked to show something. */
  #asked = false;
  /** Painted and not shown yet. */
  #painted: Picture | undefined;
  /** Whether it had waited before. */
  #isLate = false;
  #waits: Picture | undefined;
  /** Shown, and not told of yet. */
  #isShown: Picture | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.#context = options.surface.getContext('2d', { alpha: false });
  }

  /** A picture is about to come: the browser's next showing is asked for meanwhile. */
  expect(): void {
    if (this.#asked) return;
    this.#asked = true;
    this.#options.schedule(() => {
      this.#shown();
    });
  }

  show(picture: Picture): void {
    if (this.#waits && !picture.image) {
      this.#waits = patched(this.#waits, picture);
    } else if (this.#waits) {
      this.#waits.image?.close();
      this.#options.onSkipped();
      this.#waits = picture;
    } else if (this.#painted && !this.#isLate) {
      this.#waits = picture;
    } else {
      this.#paint(picture, false);
    }
  }

  /** Does not paint what waits, and tells no more of what is painted. */
  drop(): void {
    this.#waits?.image?.close();
    this.#waits = undefined;
    this.#painted = undefined;
    this.#isShown = undefined;
  }

  #shown(): void {
    this.#asked = false;
    // What was expected may not have come.
    if (!this.#painted) return;
    this.#isShown = this.#painted;
    this.#painted = undefined;
    // The browser takes what is on the canvas when this has returned: until then, nothing else.
    this.#options.then(() => {
      this.#afterwards();
    });
  }

  /** Either may have been dropped. */
  #afterwards(): void {
    const [shown, waits] = [this.#isShown, this.#waits];
    this.#isShown = undefined;
    this.#waits = undefined;
    if (shown) this.#options.onPainted(shown);
    if (waits) this.#paint(waits, true);
  }

  #paint(picture: Picture, isLate: boolean): void {
    if (this.#painted && picture.image) this.#options.onSkipped();
    this.expect();
    this.#painted = picture;
    this.#isLate = isLate;
    const { image, width, height, pieces } = picture;
    if (image) this.#draw(image, width, height);
    for (const { data, x, y } of pieces) this.#context?.putImageData(data, x, y);
  }

  #draw(image: NonNullable<Picture['image']>, width: number, height: number): void {
    const { surface } = this.#options;
    // Setting a size clears the surface; it is done in the same turn as the painting.
    if (surface.width !== width) surface.width = width;
    if (surface.height !== height) surface.height = height;
    // An encoder may have padded the picture to its blocks.
    if (image instanceof Pixels) this.#context?.putImageData(image.data, 0, 0);
    else this.#context?.drawImage(image, 0, 0, width, height, 0, 0, width, height);
    image.close();
  }
}
