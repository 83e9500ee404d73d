/** A picture that can be painted; whoever has it last closes `image`. */
export interface Picture {
  sequence: number;
  /** Microseconds of the desktop's clock. */
  captured: number;
  width: number;
  height: number;
  image: (CanvasImageSource & { close(): void }) | Pixels;
}

/** A picture as a canvas has it in memory. */
export class Pixels {
  /** @param give takes the memory back. */
  constructor(
    readonly data: ImageData,
    private readonly give: (data: ImageData) => void,
  ) {}

  close(): void {
    this.give(this.data);
  }
}
