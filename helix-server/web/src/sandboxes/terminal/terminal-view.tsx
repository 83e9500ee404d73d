import '@xterm/xterm/css/xterm.css';

import { useComputedColorScheme } from '@mantine/core';
import { FitAddon } from '@xterm/addon-fit';
import { Terminal as Screen } from '@xterm/xterm';
import { useEffect, useRef } from 'react';

import { insideUrl } from '../../api/inside';
import { copyText } from '../../components/use-copy';
import { formatBytes } from '../../format';
import { TerminalConnection, type TerminalState } from './terminal-connection';
import { terminalTheme } from './terminal-theme';
import classes from './terminal-tab.module.css';

const FONT = "'JetBrains Mono Variable', ui-monospace, monospace";
const SCROLLBACK_LINES = 10_000;
/** Resizing a window is one change of size for the program inside. */
const RESIZE_MS = 80;

interface Props {
  sandboxId: string;
  terminalId: string;
  label: string;
  /** Whether it is looked at. */
  shown: boolean;
  /** Whether what it prints is read aloud. */
  spoken: boolean;
  onState: (state: TerminalState) => void;
  /** An attempt to attach was refused: the terminal may be gone. */
  onRefused: () => void;
  /** The keyboard's way out of the terminal. */
  onLeave: () => void;
}

/** One terminal: what it shows, what is typed, and its connection. */
export default function TerminalView(props: Props) {
  const { sandboxId, terminalId, label, shown, spoken } = props;
  const scheme = useComputedColorScheme('light');
  const frame = useRef<HTMLDivElement>(null);
  const screen = useRef<Screen>(null);
  const told = useRef(props);
  useEffect(() => {
    told.current = props;
  });
  const began = useRef({ scheme, spoken });

  useEffect(() => {
    const parent = frame.current;
    if (!parent) return undefined;
    const opened = openScreen(parent, began.current, () => {
      told.current.onLeave();
    });
    screen.current = opened.screen;
    const replay = new Replay(opened.screen);
    const connection = connect(opened.screen, replay, { sandboxId, terminalId }, told);
    const typed = new TextEncoder();
    opened.screen.onData((text) => {
      if (!replay.running) connection.type(typed.encode(text));
    });
    opened.screen.onBinary((text) => {
      if (!replay.running) connection.type(Uint8Array.from(text, (char) => char.charCodeAt(0)));
    });
    let timer: ReturnType<typeof setTimeout> | undefined;
    const refit = () => {
      // Hidden terminals have no size; they keep the one they had.
      if (parent.clientWidth === 0 || parent.clientHeight === 0) return;
      opened.fit.fit();
      connection.resize(opened.screen.cols, opened.screen.rows);
    };
    const observer = new ResizeObserver(() => {
      clearTimeout(timer);
      timer = setTimeout(refit, RESIZE_MS);
    });
    observer.observe(parent);
    const wake = () => {
      connection.wake();
    };
    window.addEventListener('online', wake);
    // Cells are as wide as the font's letters: measured once it is there.
    void document.fonts.load(`13px ${FONT}`).finally(() => {
      if (screen.current !== opened.screen) return;
      refit();
      connection.start();
    });
    return () => {
      clearTimeout(timer);
      observer.disconnect();
      window.removeEventListener('online', wake);
      screen.current = null;
      connection.close();
      opened.screen.dispose();
    };
  }, [sandboxId, terminalId]);

  useEffect(() => {
    if (screen.current) screen.current.options.theme = terminalTheme(scheme);
  }, [scheme]);
  useEffect(() => {
    if (screen.current) screen.current.options.screenReaderMode = spoken;
  }, [spoken]);
  useEffect(() => {
    screen.current?.textarea?.setAttribute('aria-label', `${label}. Ctrl+F6 leaves it.`);
  }, [label]);
  useEffect(() => {
    if (shown) screen.current?.focus();
  }, [shown]);

  return <div ref={frame} className={classes.screen} />;
}

function openScreen(
  parent: HTMLElement,
  { scheme, spoken }: { scheme: 'light' | 'dark'; spoken: boolean },
  onLeave: () => void,
): { screen: Screen; fit: FitAddon } {
  const screen = new Screen({
    fontFamily: FONT,
    fontSize: 13,
    lineHeight: 1.25,
    scrollback: SCROLLBACK_LINES,
    cursorBlink: !window.matchMedia('(prefers-reduced-motion: reduce)').matches,
    theme: terminalTheme(scheme),
    // Whatever colours a program chooses can be read.
    minimumContrastRatio: 4.5,
    screenReaderMode: spoken,
    macOptionIsMeta: true,
  });
  const fit = new FitAddon();
  screen.loadAddon(fit);
  screen.open(parent);
  screen.attachCustomKeyEventHandler((event) => {
    if (event.type !== 'keydown' || !event.ctrlKey) return true;
    if (event.key === 'F6') {
      event.preventDefault();
      onLeave();
      return false;
    }
    if (event.shiftKey && event.code === 'KeyC' && screen.hasSelection()) {
      event.preventDefault();
      void copyText(screen.getSelection()).then(() => {
        screen.focus();
      });
      return false;
    }
    // The browser pastes.
    return !(event.shiftKey && event.code === 'KeyV');
  });
  return { screen, fit };
}

/**
 * What was seen before, shown again. It may ask what kind of terminal this is or where the cursor
 * is; the screen's answers would be typed into whatever runs by now.
 */
class Replay {
  running = false;
  readonly #screen: Screen;

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  write(bytes: Uint8Array, shown: () => void): void {
    // What was written before is still answered: these are called in its order.
    this.#screen.write('', () => {
      this.running = true;
    });
    this.#screen.write(bytes, () => {
      this.running = false;
      shown();
    });
  }
}

function connect(
  screen: Screen,
  replay: Replay,
  { sandboxId, terminalId }: { sandboxId: string; terminalId: string },
  told: { current: Props },
): TerminalConnection {
  const note = (text: string) => {
    screen.write(`\r\n\x1b[0;2m[${text}]\x1b[0m\r\n`);
  };
  return new TerminalConnection({
    connect: (after) => {
      const path = `terminals/${encodeURIComponent(terminalId)}/attach`;
      const url = new URL(insideUrl(sandboxId, path), window.location.href);
      url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
      if (after !== undefined) url.searchParams.set('after', String(after));
      return new WebSocket(url);
    },
    show: (bytes, seen, shown) => {
      if (seen) replay.write(bytes, shown);
      else screen.write(bytes, shown);
    },
    onGap: (bytes) => {
      note(`${formatBytes(bytes)} are not kept any more`);
    },
    onReset: () => {
      screen.reset();
    },
    onResized: (cols, rows) => {
      if (cols !== screen.cols || rows !== screen.rows) screen.resize(cols, rows);
    },
    onRefused: () => {
      told.current.onRefused();
    },
    onState: (state) => {
      told.current.onState(state);
    },
  });
}
