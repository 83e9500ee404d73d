import { useEffect, useState } from 'react';

/** Chromium's Keyboard Lock; others leave their own shortcuts to themselves. */
interface KeyboardLock {
  lock?: () => Promise<void>;
  unlock?: () => void;
}

const keyboardLock = (): KeyboardLock =>
  (navigator as Navigator & { keyboard?: KeyboardLock }).keyboard ?? {};

/**
 * Whether the desktop fills the screen. The whole page does, and the desktop fills the page:
 * so menus and notices, which are beside it in the page, are seen as well. Where a browser gives
 * no page the screen, the desktop fills the window.
 */
export function useFullScreen(): [full: boolean, setFull: (full: boolean) => void] {
  const [full, setFull] = useState(false);
  useEffect(() => {
    const changed = () => {
      if (document.fullscreenElement) return;
      keyboardLock().unlock?.();
      setFull(false);
    };
    document.addEventListener('fullscreenchange', changed);
    return () => {
      document.removeEventListener('fullscreenchange', changed);
      leave();
    };
  }, []);
  return [
    full,
    (wanted) => {
      setFull(wanted);
      if (wanted) void enter();
      else leave();
    },
  ];
}

async function enter(): Promise<void> {
  try {
    await document.documentElement.requestFullscreen();
    // Alt+Tab, Ctrl+W, Esc and the like are the desktop's; holding Esc leaves.
    await keyboardLock().lock?.();
  } catch {
    // It fills the window.
  }
}

function leave(): void {
  keyboardLock().unlock?.();
  if (document.fullscreenElement) void document.exitFullscreen();
}
