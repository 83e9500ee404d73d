import { desktopSizeFor, frameSize, place, type Box, type View } from './input/fit';
import type { Viewer } from './viewer';

/** Dragging a window's edge is one change of size for the desktop. */
const FOLLOW_MS = 300;

/** So near to an edge of the frame, the pointer moves what is shown. */
const EDGE = 48;

interface Elements {
  /** What scrolls where the picture is larger. */
  frame: HTMLElement;
  /** What is pointed at: all of the frame, and all of the picture. */
  stage: HTMLElement;
  /** What is as large as the picture. */
  picture: HTMLElement;
}

/** What is known of the picture, and what is said about its size. */
export type Shown = Pick<Viewer, 'connection' | 'controls' | 'framed' | 'hello' | 'say' | 'size'>;

export const boxOf = ({ clientWidth, clientHeight }: HTMLElement): Box => ({
  width: clientWidth,
  height: clientHeight,
});

const isSame = (one: Box, other: Box | undefined): boolean =>
  one.width === other?.width && one.height === other.height;

/** How far to go on, with so much room before and after the pointer; further nearer the edge. */
function overhang(before: number, after: number): number {
  if (before < EDGE) return (before - EDGE) / 2;
  return after < EDGE ? (EDGE - after) / 2 : 0;
}

/**
 * Keeps the picture in its frame, and lets the desktop follow the frame's size. Not by React:
 * the picture must be in its place when it is painted.
 */
export class Layout {
  readonly #elements: Elements;
  readonly #viewer: Shown;
  readonly #observer: ResizeObserver;
  readonly #ends: (() => void)[];
  #view: View = 'fit';
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The size that was asked for last: a desktop that took another one has its reasons. */
  #asked: Box | undefined;

  constructor(elements: Elements, viewer: Shown) {
    this.#elements = elements;
    this.#viewer = viewer;
    this.#observer = new ResizeObserver(() => {
      viewer.framed(frameSize(boxOf(elements.frame)));
      this.#apply();
      this.#follow();
    });
    this.#observer.observe(elements.frame);
    const followAnew = () => {
      this.#asked = undefined;
      this.#follow();
    };
    this.#ends = [
      viewer.size.watch(() => {
        this.#apply();
      }),
      // Only who has the controls says how large the desktop is.
      viewer.controls.watch(followAnew),
      viewer.hello.watch(() => {
        this.#follow();
      }),
      // A picture of a moment ago is not taken for the desktop of now.
      viewer.connection.watch(() => {
        const live = viewer.connection.get().kind === 'live';
        elements.picture.toggleAttribute('data-stale', !live);
      }),
    ];
  }

  show(view: View): void {
    this.#view = view;
    this.#asked = undefined;
    this.#apply();
    this.#follow();
  }

  /** Brings what is near the pointer into the frame, where the picture is larger. */
  reveal({ clientX, clientY }: { clientX: number; clientY: number }): void {
    if (this.#view !== 'actual') return;
    const { frame } = this.#elements;
    const { left, top, right, bottom } = frame.getBoundingClientRect();
    frame.scrollBy(
      overhang(clientX - left, right - clientX),
      overhang(clientY - top, bottom - clientY),
    );
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#observer.disconnect();
    for (const end of this.#ends) end();
  }

  #apply(): void {
    const { frame, stage, picture } = this.#elements;
    const size = this.#viewer.size.get();
    const actual = this.#view === 'actual';
    frame.dataset['view'] = this.#view;
    picture.hidden = size === null;
    if (!size) return;
    frame.style.setProperty('--picture-ratio', `${size.width} / ${size.height}`);
    const placed = place(size, boxOf(frame), this.#view);
    stage.style.minWidth = actual ? `${placed.width}px` : '';
    stage.style.minHeight = actual ? `${placed.height}px` : '';
    Object.assign(picture.style, {
      left: `${placed.x}px`,
      top: `${placed.y}px`,
      width: `${placed.width}px`,
      height: `${placed.height}px`,
      // Each pixel as a whole number of the screen's: nothing is to be smoothed.
      imageRendering: Number.isInteger((placed.width / size.width) * window.devicePixelRatio)
        ? 'pixelated'
        : 'auto',
    });
  }

  #follow(): void {
    clearTimeout(this.#timer);
    if (this.#view !== 'follow') return;
    this.#timer = setTimeout(() => {
      const now = this.#viewer.hello.get();
      const wanted = desktopSizeFor(boxOf(this.#elements.frame));
      if (!now || !this.#viewer.controls.get()) return;
      if (isSame(wanted, now) || isSame(wanted, this.#asked)) return;
      this.#asked = wanted;
      this.#viewer.say({ kind: 'resize', ...wanted });
    }, FOLLOW_MS);
  }
}
