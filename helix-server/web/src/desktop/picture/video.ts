import type { DownOf } from '../wire';
import type { Picture, Piece } from './picture';
import { readQoi } from './qoi';

/** The part of a `VideoDecoder` that is used. */
export type Decoder = Pick<VideoDecoder, 'configure' | 'decode' | 'close' | 'state'>;

interface Options {
  create: (init: VideoDecoderInit) => Decoder;
  onPicture: (picture: Picture) => void;
  /** Pictures that came and cannot be decoded. */
  onDropped: (pictures: number) => void;
  /** What comes next can only be decoded from a key frame on. */
  onKeyNeeded: () => void;
  /** The browser has no decoder for this. */
  onUnsupported: () => void;
}

/**
 * Decodes a stream. A decoder that fails is replaced, and a key frame asked for once: until
 * something was decoded again, further failures ask for nothing, or a stream that cannot be
 * decoded would be a storm of key frames for everybody.
 */
export class Video {
  readonly #options: Options;
  #decoder: Decoder | undefined;
  #config: VideoDecoderConfig | undefined;
  #needsKey = true;
  #asked = false;
  #last: number | undefined;
  /** What was given to the decoder and did not come back, by its sequence number. */
  readonly #inside = new Map<number, Omit<Picture, 'image'>>();
  /** Patches of what is in the decoder, or of each other. */
  #after: Picture[] = [];
  #size = { width: 0, height: 0 };

  constructor(options: Options) {
    this.#options = options;
  }

  /** How many pictures wait for the decoder, or are in it. */
  get queue(): number {
    return this.#inside.size;
  }

  /** Begins a stream, whose first frame is a key frame. */
  configure(config: string): void {
    // No description: parameter sets are in the stream. Nothing is held back to be put in order.
    this.#config = { codec: config, optimizeForLatency: true };
    this.#asked = false;
    this.#open();
  }

  decode(frame: DownOf<'frame'>): void {
    const { sequence, captured, width, height, key, picture } = frame;
    const follows = this.#follows(sequence);
    if (!key && (!follows || this.#needsKey)) {
      this.#options.onDropped(1);
      this.#needKey();
      return;
    }
    this.#size = { width, height };
    this.#inside.set(sequence, { sequence, captured, width, height, pieces: [] });
    try {
      const chunk = { type: key ? 'key' : 'delta', timestamp: sequence, data: picture } as const;
      this.#decoder?.decode(new EncodedVideoChunk(chunk));
    } catch {
      this.#fail();
      return;
    }
    this.#needsKey = false;
  }

  /** What has changed of the picture before, which is on the screen or on its way there. */
  patch({ sequence, captured, pieces, qoi }: DownOf<'patch'>): void {
    const follows = this.#follows(sequence);
    const unpacked = follows && !this.#needsKey ? unpack(pieces, qoi) : null;
    if (!unpacked) {
      this.#options.onDropped(1);
      this.#needKey();
      return;
    }
    const picture = { sequence, captured, ...this.#size, image: undefined, pieces: unpacked };
    if (this.#inside.size > 0) this.#after.push(picture);
    else this.#options.onPicture(picture);
  }

  /** What is in the decoder is not wanted any more; what comes next begins with a key frame. */
  skip(): void {
    if (this.#config) this.#open();
    this.#last = undefined;
  }

  /** Starts the decoder anew and asks for a key frame. */
  rebuild(): void {
    this.#asked = false;
    this.#fail();
  }

  close(): void {
    this.#discard();
    this.#config = undefined;
    this.#last = undefined;
  }

  #open(): void {
    this.#discard();
    this.#needsKey = true;
    const config = this.#config;
    if (!config) return;
    const decoder = this.#options.create({
      output: (image) => {
        this.#decoded(image);
      },
      error: (error) => {
        if (this.#decoder !== decoder) return;
        if (error.name === 'NotSupportedError') this.#options.onUnsupported();
        else this.#fail();
      },
    });
    this.#decoder = decoder;
    try {
      decoder.configure(config);
    } catch {
      // It is no configuration at all.
      this.#options.onUnsupported();
    }
  }

  #decoded(image: VideoFrame): void {
    const known = this.#inside.get(image.timestamp);
    if (!known) {
      image.close();
      return;
    }
    // They come out in the order in which they went in: what was before it never will, and is in it.
    for (const sequence of this.#inside.keys()) {
      if (sequence <= known.sequence) this.#inside.delete(sequence);
    }
    this.#after = this.#after.filter(({ sequence }) => sequence > known.sequence);
    this.#asked = false;
    this.#options.onPicture({ ...known, image });
    const [next = Infinity] = this.#inside.keys();
    while (this.#after[0] && this.#after[0].sequence < next) {
      const patch = this.#after.shift();
      if (patch) this.#options.onPicture(patch);
    }
  }

  /** Whether nothing is missing between it and what came before. */
  #follows(sequence: number): boolean {
    const last = this.#last;
    this.#last = sequence;
    if (last === undefined || sequence === last + 1) return true;
    if (sequence > last) this.#options.onDropped(sequence - last - 1);
    return false;
  }

  #fail(): void {
    this.#options.onDropped(this.#inside.size + this.#after.length);
    this.#open();
    this.#needKey();
  }

  #needKey(): void {
    this.#needsKey = true;
    if (this.#asked) return;
    this.#asked = true;
    this.#options.onKeyNeeded();
  }

  #discard(): void {
    const decoder = this.#decoder;
    this.#decoder = undefined;
    this.#inside.clear();
    this.#after = [];
    if (decoder && decoder.state !== 'closed') decoder.close();
  }
}

/** The pixels of a patch, by its pieces; none where they are not what it says. */
function unpack(pieces: DownOf<'patch'>['pieces'], qoi: Uint8Array): Piece[] | null {
  const all = pieces.reduce((sum, { width, height }) => sum + width * height, 0);
  const pixels = readQoi(qoi, all);
  if (!pixels) return null;
  let from = 0;
  return pieces.map(({ x, y, width, height }) => {
    const part = pixels.subarray(from, from + 4 * width * height);
    from += part.length;
    return { x, y, data: new ImageData(part, width, height) };
  });
}
