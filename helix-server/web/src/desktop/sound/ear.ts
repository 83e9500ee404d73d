import type { DownOf } from '../wire';

/** Decoded sound, a list of samples for each channel. */
export interface Samples {
  /** Samples in a second. */
  rate: number;
  channels: Float32Array<ArrayBuffer>[];
}

/** Opus is decoded to this, whatever it was made of. */
const CONFIG: AudioDecoderConfig = { codec: 'opus', sampleRate: 48_000, numberOfChannels: 2 };

/** Decodes sound. Each piece stands for itself: after a failure it goes on with the next. */
export class Ear {
  readonly #onSamples: (samples: Samples) => void;
  #decoder: AudioDecoder | undefined;

  constructor(onSamples: (samples: Samples) => void) {
    this.#onSamples = onSamples;
  }

  hear({ captured, opus }: DownOf<'audio'>): void {
    if (this.#decoder?.state !== 'configured') this.#open();
    this.#decoder?.decode(new EncodedAudioChunk({ type: 'key', timestamp: captured, data: opus }));
  }

  close(): void {
    if (this.#decoder && this.#decoder.state !== 'closed') this.#decoder.close();
    this.#decoder = undefined;
  }

  #open(): void {
    this.close();
    this.#decoder = new AudioDecoder({
      output: (data) => {
        this.#onSamples(samplesOf(data));
        data.close();
      },
      // The next piece opens another.
      error: () => undefined,
    });
    this.#decoder.configure(CONFIG);
  }
}

function samplesOf(data: AudioData): Samples {
  const channels = Array.from({ length: data.numberOfChannels }, (_, planeIndex) => {
    const samples = new Float32Array(data.numberOfFrames);
    data.copyTo(samples, { planeIndex, format: 'f32-planar' });
    return samples;
  });
  return { rate: data.sampleRate, channels };
}
