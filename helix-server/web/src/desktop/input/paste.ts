/**
 * Keeps the order of what is pasted: the desktop must have the clipboard before it gets the key
 * that pastes it, and an image takes a moment to be read.
 */
export class PasteGate {
  #waiting: (() => void)[] | undefined;

  /** Does it now, or after what is being read was said. */
  run(action: () => void): void {
    if (this.#waiting) this.#waiting.push(action);
    else action();
  }

  /** Holds all that follows back until `reading` ends, however it ends. */
  hold(reading: Promise<void>): void {
    if (this.#waiting) return;
    this.#waiting = [];
    const open = () => {
      const waiting = this.#waiting ?? [];
      this.#waiting = undefined;
      for (const action of waiting) action();
    };
    reading.then(open, open);
  }
}

/** Whether it is one of the ways to paste with a keyboard. */
export function pastes(press: {
  code: string;
  ctrlKey: boolean;
  metaKey: boolean;
  shiftKey: boolean;
  altKey: boolean;
}): boolean {
  if (press.altKey) return false;
  if (press.code === 'Insert') return press.shiftKey;
  return press.code === 'KeyV' && (press.ctrlKey || press.metaKey);
}
