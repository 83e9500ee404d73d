import { Cell } from './cell';
import type { ConnectionState } from './connection';
import type { Figures } from './picture/meter';
import { Speaker } from './sound/speaker';
import type { CursorImage } from './wire/messages';
import type { FromWorker, Size, Told, ToWorker, Trouble } from './worker/messages';
import type { DownOf, Present, Up } from './wire';

interface Options {
  url: string;
  /** Shown to the others who look. */
  name: string;
  size: Size;
  onClipboard: (clipboard: DownOf<'clipboard'>) => void;
  /** An attempt was refused before it began: the sandbox may have stopped. */
  onRefused: () => void;
}

/** A desktop as the page sees it: what is known of it, and what is said to it. */
export class Viewer {
  readonly canvas: HTMLCanvasElement;
  readonly connection = new Cell<ConnectionState>({ kind: 'connecting' });
  readonly hello = new Cell<DownOf<'hello'> | null>(null);
  /** Whether this viewer has the controls. */
  readonly controls = new Cell(false);
  readonly present = new Cell<Present[]>([]);
  /** What the desktop says that is wrong with it. */
  readonly notice = new Cell<DownOf<'notice'> | null>(null);
  readonly trouble = new Cell<Trouble | null>(null);
  /** Of the picture; absent before the first. */
  readonly size = new Cell<Size | null>(null);
  /** `null` before the desktop said what it looks like, without an image when it is hidden. */
  readonly cursor = new Cell<{ image?: CursorImage } | null>(null);
  /** Where the desktop's own pointer is. */
  readonly pointer = new Cell<{ x: number; y: number } | null>(null);
  readonly stats = new Cell<DownOf<'stats'> | null>(null);
  readonly figures = new Cell<Figures | null>(null);
  /** The most that is wanted, in kbit/s; 0 is no bound. */
  readonly most = new Cell(0);
  /** Whether this viewer only looks on. */
  readonly looksOn = new Cell(false);
  /** Whether what it sounds like is played. */
  readonly sound = new Cell(false);

  readonly #worker: Worker;
  readonly #options: Options;
  #speaker: Speaker | undefined;
  #screenshots: ((png: Blob | null) => void)[] = [];

  constructor(options: Options) {
    this.#options = options;
    this.canvas = document.createElement('canvas');
    this.#worker = new Worker(new URL('./worker/desktop-worker.ts', import.meta.url), {
      type: 'module',
    });
    this.#worker.onmessage = (event: MessageEvent<FromWorker>) => {
      this.#heard(event.data);
    };
    this.#worker.onerror = ({ message }: { message?: string }) => {
      const what = message ? `the viewer failed (${message})` : 'the viewer could not be loaded';
      this.connection.set({ kind: 'closed', reason: `${what}; load the page again` });
    };
    const { url, name, size } = options;
    const canvas = this.canvas.transferControlToOffscreen();
    const visible = !document.hidden;
    this.#tell({ kind: 'open', url, name, size, canvas, visible }, [canvas]);
  }

  /** Said at once, and lost while there is no connection. */
  say(message: Up): void {
    this.#tell({ kind: 'say', message });
  }

  look(visible: boolean): void {
    this.#tell({ kind: 'look', visible });
  }

  framed(size: Size): void {
    this.#tell({ kind: 'framed', size });
  }

  setMost(kbits: number): void {
    this.most.set(kbits);
    this.#tell({ kind: 'bound', kbits });
  }

  listen(on: boolean): void {
    this.#speaker?.close();
    this.#speaker = on ? new Speaker() : undefined;
    this.sound.set(on);
    this.#tell({ kind: 'listen', on });
  }

  lookOn(on: boolean): void {
    this.looksOn.set(on);
    this.#tell({ kind: 'lookOn', on });
  }

  wake(): void {
    this.#tell({ kind: 'wake' });
  }

  /** The picture as a PNG; `null` before the first. */
  screenshot(): Promise<Blob | null> {
    return new Promise((done) => {
      this.#screenshots.push(done);
      this.#tell({ kind: 'screenshot' });
    });
  }

  /** Says goodbye; the desktop goes on without anybody looking. */
  close(): void {
    this.#worker.onmessage = null;
    this.#speaker?.close();
    this.#tell({ kind: 'close' });
    // The worker ends when its goodbye is said.
    setTimeout(() => {
      this.#worker.terminate();
    }, 1_000);
    for (const done of this.#screenshots.splice(0)) done(null);
  }

  #tell(message: ToWorker, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  #heard(message: FromWorker): void {
    switch (message.kind) {
      case 'state':
        this.connection.set(message.state);
        if (message.state.kind !== 'live') this.#alone();
        break;
      case 'heard':
        this.#told(message.message);
        break;
      case 'size':
        this.size.set(message.size);
        break;
      case 'figures':
        this.figures.set(message.figures);
        break;
      case 'trouble':
        this.trouble.set(message.trouble);
        break;
      case 'sound':
        this.#speaker?.play(message.samples);
        break;
      case 'refused':
        this.#options.onRefused();
        break;
      case 'picture':
        this.#screenshots.shift()?.(message.png);
        break;
    }
  }

  #told(message: Told): void {
    switch (message.kind) {
      case 'hello':
        this.hello.set(message);
        this.controls.set(message.controls);
        break;
      case 'presence':
        this.present.set(message.viewers);
        this.#ours(message.viewers.find(({ you }) => you));
        break;
      case 'cursor':
        this.cursor.set(message.image ? { image: message.image } : {});
        break;
      case 'pointer':
        this.pointer.set({ x: message.x, y: message.y });
        break;
      case 'clipboard':
        this.#options.onClipboard(message);
        break;
      case 'stats':
        this.stats.set(message);
        break;
      case 'notice':
        this.notice.set(message.code === 0 ? null : message);
        break;
    }
  }

  #ours(us: Present | undefined): void {
    if (us) this.controls.set(us.controls);
  }

  /** What was known of the other end is not known any more; the picture stays. */
  #alone(): void {
    this.controls.set(false);
    this.present.set([]);
    this.notice.set(null);
    this.pointer.set(null);
    this.stats.set(null);
  }
}
