/** What a page and the worker of its desktop say to each other. */
import type { ConnectionState } from '../connection';
import type { Figures } from '../picture/meter';
import type { Samples } from '../sound/ear';
import type { Down, Up } from '../wire';

/** Said to the worker. */
export type ToWorker =
  | {
      kind: 'open';
      url: string;
      canvas: OffscreenCanvas;
      /** Shown to the others who look. */
      name: string;
      /** Of the page's frame around the picture. */
      size: Size;
      visible: boolean;
    }
  | { kind: 'say'; message: Up }
  | { kind: 'look'; visible: boolean }
  | { kind: 'framed'; size: Size }
  /** The most that is wanted, in kbit/s, of this connection and of those after it. */
  | { kind: 'bound'; kbits: number }
  /** Whether it only looks on; said to the desktop by coming again. */
  | { kind: 'lookOn'; on: boolean }
  /** Whether sound is wanted. */
  | { kind: 'listen'; on: boolean }
  /** Tries at once. */
  | { kind: 'wake' }
  /** Answered with a `picture`. */
  | { kind: 'screenshot' }
  | { kind: 'close' };

/** Said by the worker. */
export type FromWorker =
  | { kind: 'state'; state: ConnectionState }
  | { kind: 'heard'; message: Told }
  /** Of the picture that is painted. */
  | { kind: 'size'; size: Size }
  | { kind: 'figures'; figures: Figures }
  | { kind: 'trouble'; trouble: Trouble | null }
  | { kind: 'sound'; samples: Samples }
  | { kind: 'refused' }
  | { kind: 'picture'; png: Blob | null };

/** What the page is told of what the desktop says: all but pictures and sound. */
export type Told = Exclude<Down, { kind: 'frame' | 'still' | 'audio' | 'pong' }>;

/** What is wrong at this end. */
export type Trouble =
  /** Only still pictures, as the browser decodes no video. */
  | 'no-webcodecs'
  /** Only still pictures, as browsers decode video on https alone. */
  | 'not-secure'
  /** The picture stood still, and the decoder was started anew. */
  | 'stuck'
  /** A decoder that never worked is not used any more. */
  | 'decoder-given-up';

export interface Size {
  width: number;
  height: number;
}
