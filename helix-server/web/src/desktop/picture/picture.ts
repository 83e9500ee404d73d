/** Pixels of a part of a picture. */
export interface Piece {
  x: number;
  y: number;
  data: ImageData;
}

/** A picture that can be painted; whoever has it last closes `image`. */
export interface Picture {
  sequence: number;
  /** Microseconds of the desktop's clock. */
  captured: number;
  width: number;
  height: number;
  /** None for a patch: it is that of the picture before. */
  image: (CanvasImageSource & { close(): void }) | Pixels | undefined;
  /** What is painted over it. */
  pieces: readonly Piece[];
}

/** A picture with the patch that came after it. */
export const patched = (before: Picture, { sequence, captured, pieces }: Picture): Picture => ({
  ...before,
  sequence,
  captured,
  pieces: [...before.pieces, ...pieces],
});

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
