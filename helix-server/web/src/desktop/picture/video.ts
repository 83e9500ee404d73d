import type { DownOf } from '../wire';
import type { Picture } from './picture';

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
    const gap = this.#last !== undefined && sequence !== this.#last + 1;
    if (gap && this.#last !== undefined && sequence > this.#last) {
      this.#options.onDropped(sequence - this.#last - 1);
    }
    this.#last = sequence;
    if (!key && (gap || this.#needsKey)) {
      this.#options.onDropped(1);
      this.#needKey();
      return;
    }
    this.#inside.set(sequence, { sequence, captured, width, height });
    try {
      const chunk = { type: key ? 'key' : 'delta', timestamp: sequence, data: picture } as const;
      this.#decoder?.decode(new EncodedVideoChunk(chunk));
    } catch {
      this.#fail();
      return;
    }
    this.#needsKey = false;
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
    this.#inside.delete(known.sequence);
    this.#asked = false;
    this.#options.onPicture({ ...known, image });
  }

  #fail(): void {
    this.#options.onDropped(this.#inside.size);
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
    if (decoder && decoder.state !== 'closed') decoder.close();
  }
}
