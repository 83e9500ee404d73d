import type { DownOf } from '../wire';
import type { Picture } from './picture';

interface Options {
  open: (jpeg: Blob) => Promise<ImageBitmap>;
  onPicture: (picture: Picture) => void;
  onDropped: () => void;
}

/** Opens still pictures, for browsers that decode no video; one at a time, then the newest. */
export class Stills {
  readonly #options: Options;
  #opening = false;
  #next: DownOf<'still'> | undefined;
  #run = 0;

  constructor(options: Options) {
    this.#options = options;
  }

  show(still: DownOf<'still'>): void {
    if (this.#next) this.#options.onDropped();
    this.#next = still;
    if (!this.#opening) void this.#work();
  }

  /** What is being opened is not wanted any more. */
  skip(): void {
    this.#run += 1;
    this.#next = undefined;
  }

  async #work(): Promise<void> {
    this.#opening = true;
    for (let still = this.#next; still; still = this.#next) {
      this.#next = undefined;
      await this.#one(still, this.#run);
    }
    this.#opening = false;
  }

  async #one({ jpeg, ...about }: DownOf<'still'>, run: number): Promise<void> {
    const image = await this.#options
      .open(new Blob([jpeg], { type: 'image/jpeg' }))
      .catch(() => undefined);
    if (!image) this.#options.onDropped();
    else if (run === this.#run) this.#options.onPicture({ ...about, image, pieces: [] });
    else image.close();
  }
}
