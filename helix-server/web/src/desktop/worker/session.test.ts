import { beforeEach, describe, expect, it, vi } from 'vitest';

import type { DesktopSocket } from '../connection';
import { WITHIN_MS } from '../picture/acks';
import type { FromWorker } from './messages';
import { Session } from './session';

class FakeSocket implements DesktopSocket {
  binaryType: BinaryType = 'blob';
  onopen: DesktopSocket['onopen'] = null;
  onmessage: DesktopSocket['onmessage'] = null;
  onclose: DesktopSocket['onclose'] = null;
  sent: string[] = [];

  constructor() {
    sockets.push(this);
  }

  send(data: Uint8Array): void {
    const hex = [...data].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    if (!hex.startsWith('92')) this.sent.push(hex);
  }

  close(): void {
    this.onclose = null;
  }

  says(hex: string): void {
    const pairs = hex.replaceAll(' ', '').match(/../g) ?? [];
    const data = Uint8Array.from(pairs, (pair) => parseInt(pair, 16)).buffer;
    this.onmessage?.(new MessageEvent('message', { data }));
  }

  greets(codec = '01'): void {
    this.onopen?.(new Event('open'));
    this.says(`01 0001 00000007 ${codec} 00 00 0002 0002 04`);
  }

  frame(sequence: number, key = true): void {
    const number = sequence.toString(16).padStart(8, '0');
    this.says(`02 ${number} 0000000000000001 ${key ? '01' : '00'} 0002 0002 aa`);
  }
}

class FakeDecoder {
  state = 'unconfigured';
  chunks: { timestamp: number }[] = [];

  constructor(readonly init: VideoDecoderInit) {
    decoders.push(this);
  }

  configure(): void {
    this.state = 'configured';
  }

  decode(chunk: { timestamp: number }): void {
    this.chunks.push(chunk);
    if (works) {
      const { timestamp } = chunk;
      this.init.output({ timestamp, close: () => undefined } as unknown as VideoFrame);
    }
  }

  close(): void {
    this.state = 'closed';
  }
}

let sockets: FakeSocket[];
let decoders: FakeDecoder[];
let posted: FromWorker[];
let works: boolean;
let paints: (() => void)[];

function open(codecs: ('h264' | 'vp9')[] = ['h264', 'vp9']): Session {
  const canvas = {
    width: 1,
    height: 1,
    getContext: () => ({ drawImage: () => undefined }),
    convertToBlob: () => Promise.resolve(new Blob(['png'])),
  };
  return new Session(
    {
      kind: 'open',
      url: 'ws://x/',
      canvas: canvas as unknown as OffscreenCanvas,
      name: 'Ana',
      size: { width: 800, height: 600 },
      visible: true,
    },
    codecs,
    (message) => posted.push(message),
  );
}

const newest = (): FakeSocket => {
  const socket = sockets.at(-1);
  if (!socket) throw new Error('nothing was opened');
  return socket;
};

const paint = () => {
  for (const each of paints.splice(0)) each();
  vi.advanceTimersByTime(0);
};

const troubles = () =>
  posted.filter((each) => each.kind === 'trouble').map(({ trouble }) => trouble);

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('WebSocket', FakeSocket);
  vi.stubGlobal('VideoDecoder', FakeDecoder);
  vi.stubGlobal(
    'EncodedVideoChunk',
    // A chunk is what it was made of.
    function (init: EncodedVideoChunkInit) {
      return init;
    },
  );
  vi.stubGlobal('requestAnimationFrame', (callback: () => void) => paints.push(callback));
  vi.stubGlobal('cancelAnimationFrame', () => undefined);
  sockets = [];
  decoders = [];
  posted = [];
  paints = [];
  works = true;
});

describe('a session with a desktop', () => {
  it('says what it decodes and how large it is', () => {
    open();
    newest().greets();
    expect(newest().sent[0]).toBe('81' + '0001' + '02' + '0320' + '0258' + '020103' + '03416e61');
  });

  it('acknowledges what is on the screen, and not before', () => {
    open();
    newest().greets();
    newest().frame(1);
    newest().frame(2, false);
    expect(newest().sent).toHaveLength(1);
    paint();
    expect(newest().sent.slice(1)).toEqual(['820000000100']);
    paint();
    vi.advanceTimersByTime(WITHIN_MS);
    expect(newest().sent.slice(1)).toEqual(['820000000100', '820000000200']);
    expect(posted).toContainEqual({ kind: 'size', size: { width: 2, height: 2 } });
  });

  it('while nobody looks, decodes nothing, and goes on with a key frame', () => {
    const session = open();
    newest().greets();
    newest().frame(1);
    session.told({ kind: 'look', visible: false });
    paint();
    newest().frame(2, false);
    session.told({ kind: 'look', visible: true });
    newest().frame(3);
    paint();
    expect(newest().sent.slice(1)).toEqual(['8d00', '8d01', '820000000300']);
  });

  it('shows nothing of a connection that broke in the next one', () => {
    open();
    newest().greets();
    newest().frame(9);
    newest().onclose?.(new CloseEvent('close'));
    paint();
    vi.advanceTimersByTime(1_000);
    newest().greets();
    newest().frame(1);
    paint();
    expect(newest().sent.slice(1)).toEqual(['820000000100']);
  });

  it('does not tell the next connection of what was shown of one that broke', () => {
    const session = open();
    newest().greets();
    newest().frame(8);
    paint();
    newest().frame(9, false);
    paint();
    newest().onclose?.(new CloseEvent('close'));
    session.told({ kind: 'wake' });
    newest().greets();
    newest().frame(1);
    vi.advanceTimersByTime(WITHIN_MS);
    expect(newest().sent).toHaveLength(1);
  });

  it('tells each new connection of the bound', () => {
    const session = open();
    newest().greets();
    session.told({ kind: 'bound', kbits: 1_000 });
    newest().onclose?.(new CloseEvent('close'));
    vi.advanceTimersByTime(1_000);
    newest().greets();
    expect(newest().sent.slice(1)).toEqual(['8c000003e8']);
  });

  it('gives a picture of what is on the screen, and none before', async () => {
    const session = open();
    newest().greets();
    session.told({ kind: 'screenshot' });
    newest().frame(1);
    paint();
    session.told({ kind: 'screenshot' });
    await vi.waitFor(() => {
      const pictures = posted.filter((each) => each.kind === 'picture');
      expect(pictures.map(({ png }) => png !== null)).toEqual([false, true]);
    });
  });
});

describe('sound', () => {
  const heard: number[] = [];

  beforeEach(() => {
    heard.length = 0;
    vi.stubGlobal('EncodedAudioChunk', function (init: EncodedAudioChunkInit) {
      return init;
    });
    vi.stubGlobal('AudioDecoder', function () {
      return {
        state: 'configured',
        configure: () => undefined,
        close: () => undefined,
        decode: ({ timestamp }: { timestamp: number }) => heard.push(timestamp),
      };
    });
  });

  const greetsWithSound = () => {
    newest().onopen?.(new Event('open'));
    newest().says('01 0001 00000007 01 00 00 0002 0002 05');
  };
  const PIECE = '0b 00000001 0000000000000007 aa';

  it('is asked for, also of a new connection, and heard until it is not wanted', () => {
    const session = open();
    greetsWithSound();
    session.told({ kind: 'listen', on: true });
    newest().says(PIECE);
    newest().onclose?.(new CloseEvent('close'));
    vi.advanceTimersByTime(1_000);
    greetsWithSound();
    expect(newest().sent.slice(1)).toEqual(['9101']);
    session.told({ kind: 'listen', on: false });
    newest().says(PIECE);
    expect(newest().sent.slice(2)).toEqual(['9100']);
    expect(heard).toEqual([7]);
  });
});

describe('a decoder that puts out nothing', () => {
  /** Nothing is painted for as long as it takes to notice. */
  const wait = (sequence: number) => {
    newest().says('09 0000000000000000 0000000000000000');
    newest().frame(sequence);
    vi.advanceTimersByTime(3_500);
  };

  it('is started anew with a key frame, which is said until it paints', () => {
    works = false;
    open();
    newest().greets();
    wait(1);
    expect(decoders).toHaveLength(2);
    expect(newest().sent.slice(1)).toEqual(['8e']);
    expect(troubles()).toEqual(['stuck']);
    works = true;
    newest().frame(2);
    paint();
    expect(troubles()).toEqual(['stuck', null]);
  });

  it('is given up after a while, for another codec', () => {
    works = false;
    open();
    newest().greets();
    for (let sequence = 1; sequence <= 3; sequence += 1) wait(sequence);
    expect(troubles().at(-1)).toBe('decoder-given-up');
    vi.advanceTimersByTime(1_000);
    expect(sockets).toHaveLength(2);
    newest().greets('03');
    expect(newest().sent[0]).toContain('0103' + '03416e61');
  });
});

it('without WebCodecs, stills are shown, and why', () => {
  vi.unstubAllGlobals();
  vi.stubGlobal('WebSocket', FakeSocket);
  vi.stubGlobal('isSecureContext', false);
  open([]);
  newest().greets('00');
  expect(troubles()).toEqual(['not-secure']);
});
