import { beforeEach, describe, expect, it, vi } from 'vitest';

import type { DownOf } from '../wire';
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
