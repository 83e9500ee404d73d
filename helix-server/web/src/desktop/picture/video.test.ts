import { beforeEach, describe, expect, it, vi } from 'vitest';

import type { DownOf } from '../wire';
import { bytes } from '../wire/vectors';
import type { Picture } from './picture';
import { Video, type Decoder } from './video';

class FakeDecoder implements Decoder {
  state: CodecState = 'unconfigured';
  config: VideoDecoderConfig | undefined;
  fed: EncodedVideoChunkInit[] = [];

  constructor(readonly init: VideoDecoderInit) {}

  configure(config: VideoDecoderConfig): void {
    if (config.codec === '') throw new TypeError('no codec');
    this.config = config;
    this.state = 'configured';
  }

  decode(chunk: EncodedVideoChunk): void {
    if (this.state !== 'configured') throw new DOMException('closed', 'InvalidStateError');
    this.fed.push(chunk as unknown as EncodedVideoChunkInit);
  }

  close(): void {
    this.state = 'closed';
  }

  puts(timestamp: number): { close: () => void } {
    const image = { timestamp, close: vi.fn() };
    this.init.output(image as unknown as VideoFrame);
    return image;
  }

  fails(name = 'EncodingError'): void {
    this.state = 'closed';
    this.init.error(new DOMException('it failed', name));
  }
}

let decoders: FakeDecoder[];
let pictures: Picture[];
let asked: number;
let dropped: number;
let unsupported: number;

function start(): Video {
  const video = new Video({
    create: (init) => {
      const decoder = new FakeDecoder(init);
      decoders.push(decoder);
      return decoder;
    },
    onPicture: (picture) => pictures.push(picture),
    onDropped: (count) => {
      dropped += count;
    },
    onKeyNeeded: () => {
      asked += 1;
    },
    onUnsupported: () => {
      unsupported += 1;
    },
  });
  video.configure('avc1.42e01f');
  return video;
}

const frame = (sequence: number, key = false): DownOf<'frame'> => ({
  kind: 'frame',
  sequence,
  captured: sequence * 1_000,
  key,
  recovery: key,
  width: 1280,
  height: 720,
  picture: new Uint8Array(3),
});

/** Three pixels. */
const RED = bytes('716f6966 00000003 00000001 0300 fe ff0000 c1 0000000000000001');

const newest = (): FakeDecoder => {
  const decoder = decoders.at(-1);
  if (!decoder) throw new Error('there is no decoder');
  return decoder;
};

const fed = () => newest().fed.map(({ type, timestamp }) => `${type} ${timestamp}`);

beforeEach(() => {
  // A chunk is what it was made of.
  vi.stubGlobal('EncodedVideoChunk', function (init: EncodedVideoChunkInit) {
    return init;
  });
  decoders = [];
  pictures = [];
  asked = 0;
  dropped = 0;
  unsupported = 0;
});

describe('a stream', () => {
  it('is decoded for latency, and each picture keeps what was said of it', () => {
    const video = start();
    expect(newest().config).toEqual({ codec: 'avc1.42e01f', optimizeForLatency: true });
    video.decode(frame(1, true));
    video.decode(frame(2));
    expect(fed()).toEqual(['key 1', 'delta 2']);
    expect(video.queue).toBe(2);
    newest().puts(1);
    expect(video.queue).toBe(1);
    expect(pictures[0]).toMatchObject({ sequence: 1, captured: 1_000, width: 1280 });
  });

  it('goes on with a key frame where frames were skipped', () => {
    const video = start();
    video.decode(frame(1, true));
    video.decode(frame(5, true));
    expect(fed()).toEqual(['key 1', 'key 5']);
    expect([dropped, asked]).toEqual([3, 0]);
  });

  it('begins anew with a new size, without asking', () => {
    const video = start();
    video.decode(frame(1, true));
    video.configure('avc1.64001f');
    expect(decoders[0]?.state).toBe('closed');
    video.decode(frame(2, true));
    expect(fed()).toEqual(['key 2']);
    expect(asked).toBe(0);
  });
});

describe('a decoder that loses its way', () => {
  it('is replaced, and asks for one key frame', () => {
    const video = start();
    video.decode(frame(1, true));
    newest().fails();
    expect(decoders).toHaveLength(2);
    video.decode(frame(2));
    video.decode(frame(3));
    expect(fed()).toEqual([]);
    expect(asked).toBe(1);
    expect(dropped).toBe(3);
    video.decode(frame(4, true));
    video.decode(frame(5));
    expect(fed()).toEqual(['key 4', 'delta 5']);
  });

  it('asks again only after something was decoded', () => {
    const video = start();
    for (let sequence = 1; sequence < 10; sequence += 1) {
      video.decode(frame(sequence, true));
      newest().fails();
    }
    expect(asked).toBe(1);
    video.decode(frame(10, true));
    newest().puts(10);
    newest().fails();
    expect(asked).toBe(2);
  });

  it('asks when a frame is missing and the next is no key frame', () => {
    const video = start();
    video.decode(frame(1, true));
    video.decode(frame(3));
    expect(fed()).toEqual(['key 1']);
    expect(asked).toBe(1);
  });

  it('survives one that closed without a word', () => {
    const video = start();
    newest().close();
    video.decode(frame(1, true));
    expect(decoders).toHaveLength(2);
    expect(asked).toBe(1);
  });

  it('may be started anew from outside, which asks again', () => {
    const video = start();
    video.decode(frame(1, true));
    newest().fails();
    video.rebuild();
    expect(asked).toBe(2);
  });

  it('says that there is none for this codec', () => {
    start();
    newest().fails('NotSupportedError');
    expect([unsupported, asked]).toEqual([1, 0]);
  });

  it('says so for what is no codec, too', () => {
    start().configure('');
    expect(unsupported).toBe(1);
  });
});

it('a page that nobody looked at goes on with a key frame', () => {
  const video = start();
  video.decode(frame(1, true));
  video.skip();
  video.decode(frame(7, true));
  expect(fed()).toEqual(['key 7']);
  expect([dropped, asked]).toEqual([0, 0]);
});

it('pictures of a decoder that was left are let go of', () => {
  const video = start();
  video.decode(frame(1, true));
  const left = newest();
  video.close();
  const image = left.puts(1);
  expect(image.close).toHaveBeenCalled();
  expect(pictures).toEqual([]);
});

describe('a patch', () => {
  const patch = (sequence: number, qoi = RED): DownOf<'patch'> => ({
    kind: 'patch',
    sequence,
    captured: sequence * 1_000,
    pieces: [
      { x: 8, y: 16, width: 1, height: 2 },
      { x: 300, y: 0, width: 1, height: 1 },
    ],
    qoi,
  });
  const sequences = () => pictures.map(({ sequence }) => sequence);

  beforeEach(() => {
    vi.stubGlobal(
      'ImageData',
      class {
        constructor(
          readonly data: Uint8ClampedArray,
          readonly width: number,
          readonly height: number,
        ) {}
      },
    );
  });

  it('is at hand at once, piece by piece, and the next picture follows it', () => {
    const video = start();
    video.decode(frame(1, true));
    newest().puts(1);
    video.patch(patch(2));
    const red = [255, 0, 0, 255];
    expect(pictures[1]).toMatchObject({ sequence: 2, captured: 2_000, width: 1280, height: 720 });
    expect(pictures[1]?.image).toBeUndefined();
    expect(pictures[1]?.pieces.map(({ x, y, data }) => [x, y, [...data.data]])).toEqual([
      [8, 16, [...red, ...red]],
      [300, 0, red],
    ]);
    video.decode(frame(3));
    newest().puts(3);
    expect([sequences(), asked, dropped]).toEqual([[1, 2, 3], 0, 0]);
  });

  it('waits for what is in the decoder before it, and not for what came after it', () => {
    const video = start();
    video.decode(frame(1, true));
    video.patch(patch(2));
    video.decode(frame(3));
    video.patch(patch(4));
    expect(sequences()).toEqual([]);
    newest().puts(1);
    expect(sequences()).toEqual([1, 2]);
    newest().puts(3);
    expect(sequences()).toEqual([1, 2, 3, 4]);
  });

  it('of a picture that the decoder swallows is not painted over a newer one', () => {
    const video = start();
    for (const each of [frame(1, true), frame(2)]) video.decode(each);
    video.patch(patch(3));
    video.decode(frame(4));
    newest().puts(4);
    // Which is in what came after it, as is its patch.
    expect(sequences()).toEqual([4]);
    video.patch(patch(5));
    expect(sequences()).toEqual([4, 5]);
  });

  it.each([
    ['of a picture that is missing', 3, RED],
    ['that cannot be read', 2, RED.slice(0, 18)],
  ])('%s is not painted, and a key frame is asked for', (_, sequence, qoi) => {
    const video = start();
    video.decode(frame(1, true));
    newest().puts(1);
    video.patch(patch(sequence, qoi));
    expect([sequences(), asked]).toEqual([[1], 1]);
    video.patch(patch(sequence + 1));
    video.decode(frame(sequence + 2));
    expect([sequences(), asked, newest().fed.length]).toEqual([[1], 1, 1]);
    video.decode(frame(sequence + 3, true));
    newest().puts(sequence + 3);
    expect(sequences()).toEqual([1, sequence + 3]);
  });

  it('of a stream that begins anew is not painted any more', () => {
    const video = start();
    video.decode(frame(1, true));
    video.patch(patch(2));
    video.skip();
    video.decode(frame(3, true));
    newest().puts(3);
    expect(sequences()).toEqual([3]);
  });
});
