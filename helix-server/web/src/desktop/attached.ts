import { Cell } from './cell';
import { frameSize, type Box, type Placed, type View } from './input/fit';
import { Keyboard } from './input/keyboard';
import { Fingers, Mouse } from './input/pointer';
import { attachPointing } from './input/pointing';
import { attachTyping } from './input/typing';
import { Wheel } from './input/wheel';
import { boxOf, Layout } from './layout';
import { Viewer } from './viewer';
import type { DownOf } from './wire';

/** The desktop's own pointer, as it looks now. */
export interface CursorLook extends Box {
  url: string;
  hotspotX: number;
  hotspotY: number;
}

interface Options {
  url: string;
  /** Shown to the others who look. */
  name: string;
  /** What scrolls where the picture is larger. */
  frame: HTMLElement;
  /** What is pointed at. */
  stage: HTMLElement;
  /** What is as large as the picture. */
  picture: HTMLElement;
  /** What in it holds the canvas. */
  holder: HTMLElement;
  /** What is typed into. */
  field: HTMLTextAreaElement;
  /** Whether what is copied and pasted is passed on. */
  clipboard: () => boolean;
  onPaste: (data: DataTransfer) => Promise<void>;
  onCopied: (clipboard: DownOf<'clipboard'>) => void;
  onLeave: () => void;
  onRefused: () => void;
}

/** A viewer on a page: its picture in a frame, and what is done there told to the desktop. */
export class Attached {
  readonly viewer: Viewer;
  readonly keyboard: Keyboard;
  /** The keys on the screen that are held for the next one. */
  readonly latched = new Cell<readonly string[]>([]);
  /** `null` where it is hidden, or not known. */
  readonly cursor = new Cell<CursorLook | null>(null);
  readonly #options: Options;
  readonly #mouse: Mouse;
  readonly #fingers: Fingers;
  readonly #layout: Layout;
  readonly #ended = new AbortController();

  constructor(options: Options) {
    this.#options = options;
    const { frame, holder, url, name } = options;
    this.viewer = new Viewer({
      url,
      name,
      size: frameSize(boxOf(frame)),
      onClipboard: options.onCopied,
      onRefused: options.onRefused,
    });
    const say = this.viewer.say.bind(this.viewer);
    this.keyboard = new Keyboard({
      say,
      apple: /Mac|iPhone|iPad/.test(navigator.userAgent),
      onLatched: (codes) => {
        this.latched.set(codes);
      },
    });
    this.#mouse = new Mouse(say);
    this.#fingers = new Fingers(say);
    holder.replaceChildren(this.viewer.canvas);
    this.#layout = new Layout(options, this.viewer);
    this.#watch();
    this.#attach();
  }

  show(view: View): void {
    this.#layout.show(view);
  }

  /** Gives the keyboard to the desktop. */
  focus(): void {
    this.#options.field.focus({ preventScroll: true });
  }

  /** Asks for the device's keyboard, where it is one on a screen. */
  typeOnScreen(): void {
    const { field } = this.#options;
    // A device shows its keyboard for a field that gets the focus, not for one that has it.
    field.blur();
    field.inputMode = 'text';
    this.focus();
  }

  /** Whether the browser can keep its pointer to the desktop. */
  get canLock(): boolean {
    return typeof this.#options.stage.requestPointerLock === 'function';
  }

  /** Keeps the browser's pointer: programs that turn a view want its moves without an end. */
  async lockPointer(): Promise<void> {
    await this.#options.stage.requestPointerLock();
    this.focus();
  }

  end(): void {
    this.#ended.abort();
    this.#layout.end();
    this.viewer.close();
    this.viewer.canvas.remove();
    const cursor = this.cursor.get();
    if (cursor) URL.revokeObjectURL(cursor.url);
  }

  #attach(): void {
    const { stage, field, clipboard, onPaste, onLeave } = this.#options;
    const signal = this.#ended.signal;
    const release = () => {
      this.#release();
    };
    attachTyping(field, {
      keyboard: this.keyboard,
      clipboard,
      onPaste,
      onLeave,
      onBlur: () => {
        field.inputMode = 'none';
        release();
      },
      signal,
    });
    attachPointing(stage, {
      mouse: this.#mouse,
      fingers: this.#fingers,
      wheel: new Wheel(),
      say: this.viewer.say.bind(this.viewer),
      placed: () => this.#placed(),
      picture: this.viewer.size.get,
      onTouched: () => {
        this.focus();
      },
      onPointer: (at) => {
        // Those who look on see where the desktop's own is.
        if (this.viewer.controls.get()) this.viewer.pointer.set(at);
      },
      onMoved: (event) => {
        this.#layout.reveal(event);
      },
      onUnlocked: release,
      signal,
    });
    document.addEventListener(
      'visibilitychange',
      () => {
        if (document.hidden) release();
        this.viewer.look(!document.hidden);
      },
      { signal },
    );
    const wake = () => {
      if (this.viewer.connection.get().kind === 'waiting') this.viewer.wake();
    };
    window.addEventListener('online', wake, { signal });
  }

  #watch(): void {
    const { viewer } = this;
    const ends = [
      viewer.connection.watch(() => {
        if (viewer.connection.get().kind !== 'live') this.#forget();
      }),
      // Who takes the controls lets go of what another held.
      viewer.controls.watch(() => {
        this.#forget();
        this.#showCursor();
      }),
      viewer.cursor.watch(() => {
        this.#lookAnew();
        this.#showCursor();
      }),
    ];
    this.#ended.signal.addEventListener('abort', () => {
      for (const end of ends) end();
    });
  }

  /** The browser's own pointer looks like the desktop's: so it is never behind. */
  #showCursor(): void {
    const look = this.cursor.get();
    const hidden = this.viewer.cursor.get() !== null && !look;
    const own = look
      ? `url(${look.url}) ${look.hotspotX} ${look.hotspotY}, default`
      : hidden
        ? 'none'
        : 'default';
    this.#options.stage.style.cursor = this.viewer.controls.get() ? own : 'default';
  }

  #lookAnew(): void {
    const before = this.cursor.get();
    const image = this.viewer.cursor.get()?.image;
    if (image) {
      const { png, ...about } = image;
      const url = URL.createObjectURL(new Blob([png], { type: 'image/png' }));
      this.cursor.set({ ...about, url });
    } else {
      this.cursor.set(null);
    }
    if (before) URL.revokeObjectURL(before.url);
  }

  #placed(): Placed | null {
    return this.viewer.size.get() ? this.viewer.canvas.getBoundingClientRect() : null;
  }

  #release(): void {
    this.#fingers.cancel();
    this.#mouse.forget();
    this.keyboard.release();
  }

  #forget(): void {
    this.#fingers.forget();
    this.#mouse.forget();
    this.keyboard.forget();
  }
}
