import { Cell } from './cell';

/** Chromium's Keyboard Lock; others leave their own shortcuts to themselves. */
interface KeyboardLock {
  lock?: () => Promise<void>;
  unlock?: () => void;
}

/**
 * What the desktop fills. `captured` is the screen, with the browser's and the system's own keys
 * (Esc, Super, Alt+Tab, Ctrl+W) as the desktop's: to hold Esc leaves.
 */
export type Filled = 'frame' | 'window' | 'screen' | 'captured';

const keyboard = (): KeyboardLock =>
  (navigator as Navigator & { keyboard?: KeyboardLock }).keyboard ?? {};

/**
 * Has the desktop fill the screen. The whole page does, and the desktop fills the page: so menus
 * and notices, which are beside it in the page, are seen as well. Where a browser gives no page
 * the screen, the desktop fills the window.
 */
export class FullScreen {
  readonly filled = new Cell<Filled>('frame');

  /** Watches who leaves it by the browser's own means, until the returned function is called. */
  begin(): () => void {
    const changed = () => {
      if (!document.fullscreenElement) this.#left();
    };
    document.addEventListener('fullscreenchange', changed);
    return () => {
      document.removeEventListener('fullscreenchange', changed);
      this.leave();
    };
  }

  async enter(): Promise<void> {
    this.filled.set('window');
    try {
      await document.documentElement.requestFullscreen();
    } catch {
      return;
    }
    if (this.filled.get() === 'frame') {
      // Somebody left meanwhile.
      this.leave();
      return;
    }
    this.filled.set('screen');
    const { lock } = keyboard();
    if (!lock) return;
    const locked = await lock.call(keyboard()).then(
      () => true,
      () => false,
    );
    if (document.fullscreenElement === null) keyboard().unlock?.();
    else if (locked) this.filled.set('captured');
  }

  leave(): void {
    this.#left();
    if (document.fullscreenElement) void document.exitFullscreen();
  }

  #left(): void {
    keyboard().unlock?.();
    this.filled.set('frame');
  }
}
