import { Pixels, type Picture } from './picture';

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
  /** Calls back when the browser is about to show something. */
  schedule: (paint: () => void) => void;
  /** It is on the screen. */
  onPainted: (picture: Picture) => void;
  /** It never was: a newer one came first. */
  onSkipped: () => void;
}

/**
 * Paints the newest picture each time the browser shows something. In two dimensions: a video
 * frame on a graphics card is drawn by one blit, and a machine without one has no WebGL worth the
 * name.
 */
export class Painter {
  readonly #options: Options;
  readonly #context: ReturnType<Surface['getContext']>;
  #next: Picture | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.#context = options.surface.getContext('2d', { alpha: false });
  }

  show(picture: Picture): void {
    const waits = this.#next;
    this.#next = picture;
    if (waits) {
      waits.image.close();
      this.#options.onSkipped();
    } else {
      this.#options.schedule(() => {
        this.#paint();
      });
    }
  }

  /** Does not paint what waits. */
  drop(): void {
    this.#next?.image.close();
    this.#next = undefined;
  }

  #paint(): void {
    const picture = this.#next;
    this.#next = undefined;
    // It may have been dropped.
    if (!picture) return;
    const { surface } = this.#options;
    const { image, width, height } = picture;
    // Setting a size clears the surface; it is done in the same turn as the painting.
    if (surface.width !== width) surface.width = width;
    if (surface.height !== height) surface.height = height;
    // An encoder may have padded the picture to its blocks.
    if (image instanceof Pixels) this.#context?.putImageData(image.data, 0, 0);
    else this.#context?.drawImage(image, 0, 0, width, height, 0, 0, width, height);
    image.close();
    this.#options.onPainted(picture);
  }
}
