/** What the two ends say to each other, as values. */

export const VERSION = 1;

/** By their numbers on the wire. */
export const CODECS = ['stills', 'h264', 'hevc', 'vp9', 'av1'] as const;
export type Codec = (typeof CODECS)[number];

/** A coordinate of the last pixel's far edge; 0 is the first. */
export const FULL = 65_535;
/** No width and no height is more. */
export const LARGEST_SIDE = 8_192;

/** The most that a message of a clipboard may hold, in bytes, with all of its fields. */
export const LARGEST_CLIPBOARD = 16 * 1024 * 1024;
/** The most that every other message to the desktop may hold, in bytes. */
export const LARGEST_UP = 64 * 1024;
/** The most that a message from the desktop may hold, in bytes. */
export const LARGEST_DOWN = 32 * 1024 * 1024;

/** The most pixels that a patch may have. */
export const LARGEST_PATCH = 64 * 1024;

/** Somebody who looks at the desktop. */
export interface Present {
  viewer: number;
  controls: boolean;
  you: boolean;
  looksOn: boolean;
  /** Whether its pointer is in the picture, at `x` and `y`. */
  pointing: boolean;
  x: number;
  y: number;
  name: string;
}

/** From the desktop. Times are microseconds of its own clock. */
export type Down =
  | {
      kind: 'hello';
      viewer: number;
      codec: Codec;
      encoder: string;
      config: string;
      width: number;
      height: number;
      audio: boolean;
      clipboard: boolean;
      controls: boolean;
    }
  | {
      kind: 'frame';
      sequence: number;
      captured: number;
      key: boolean;
      recovery: boolean;
      width: number;
      height: number;
      picture: Uint8Array<ArrayBuffer>;
    }
  | {
      kind: 'still';
      sequence: number;
      captured: number;
      width: number;
      height: number;
      jpeg: Uint8Array<ArrayBuffer>;
    }
  /** Hidden without `image`. */
  | { kind: 'cursor'; image?: CursorImage }
  | { kind: 'pointer'; x: number; y: number }
  | { kind: 'clipboard'; mime: string; content: Uint8Array<ArrayBuffer> }
  | { kind: 'presence'; viewers: Present[] }
  | {
      kind: 'stats';
      frames: number;
      dropped: number;
      encodeMicros: number;
      captureMicros: number;
      kbits: number;
      targetKbits: number;
      viewers: number;
    }
  | { kind: 'pong'; token: number; now: number }
  | { kind: 'notice'; code: number; text: string }
  | { kind: 'audio'; sequence: number; captured: number; opus: Uint8Array<ArrayBuffer> }
  | {
      kind: 'patch';
      sequence: number;
      captured: number;
      pieces: { x: number; y: number; width: number; height: number }[];
      qoi: Uint8Array<ArrayBuffer>;
    };

export interface CursorImage {
  hotspotX: number;
  hotspotY: number;
  width: number;
  height: number;
  png: Uint8Array<ArrayBuffer>;
}

export type DownKind = Down['kind'];
export type DownOf<K extends DownKind> = Extract<Down, { kind: K }>;

/** To the desktop. */
export type Up =
  | {
      kind: 'hello';
      looksOn: boolean;
      /** Whether it takes patches. */
      patches: boolean;
      width: number;
      height: number;
      /** Best first. */
      codecs: Codec[];
      name: string;
    }
  | { kind: 'painted'; sequence: number; queue: number }
  | { kind: 'key'; code: number; keysym: number; down: boolean }
  | { kind: 'text'; text: string }
  | { kind: 'move'; x: number; y: number }
  | { kind: 'moveBy'; dx: number; dy: number }
  | { kind: 'button'; button: number; down: boolean }
  | { kind: 'wheel'; dx: number; dy: number }
  | {
      kind: 'touch';
      phase: 'down' | 'move' | 'up' | 'cancelled';
      finger: number;
      x: number;
      y: number;
    }
  | { kind: 'release' }
  | { kind: 'resize'; width: number; height: number }
  | { kind: 'bitrate'; kbits: number }
  | { kind: 'visible'; visible: boolean }
  | { kind: 'keyframe' }
  | { kind: 'takeOver' }
  | { kind: 'clipboard'; mime: string; content: Uint8Array<ArrayBuffer> }
  | { kind: 'audio'; on: boolean }
  | { kind: 'ping'; token: number };

export type UpOf<K extends Up['kind']> = Extract<Up, { kind: K }>;
