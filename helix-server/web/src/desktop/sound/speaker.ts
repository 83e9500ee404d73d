import { Timeline } from './timeline';
import type { Samples } from './ear';

/** Plays what a desktop sounds like. Made when somebody asks for it: browsers allow it then. */
export class Speaker {
  readonly #context = new AudioContext({ latencyHint: 'interactive' });
  readonly #timeline = new Timeline();

  play({ rate, channels }: Samples): void {
    const frames = channels[0]?.length ?? 0;
    if (frames === 0) return;
    const at = this.#timeline.place(frames / rate, this.#context.currentTime);
    if (at === null) return;
    const buffer = this.#context.createBuffer(channels.length, frames, rate);
    for (const [index, samples] of channels.entries()) buffer.copyToChannel(samples, index);
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#context.destination);
    source.start(at);
  }

  close(): void {
    void this.#context.close();
  }
}
