/** A picture that can be painted; whoever has it last closes `image`. */
export interface Picture {
  sequence: number;
  /** Microseconds of the desktop's clock. */
  captured: number;
  width: number;
  height: number;
  image: CanvasImageSource & { close(): void };
}
