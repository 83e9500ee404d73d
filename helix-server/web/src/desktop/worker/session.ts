import { DesktopConnection, type ConnectionState } from '../connection';
import { DesktopClock } from '../picture/clock';
import { Acks } from '../picture/acks';
import { Meter } from '../picture/meter';
import { nextFrame } from '../picture/next-frame';
import { Painter } from '../picture/painter';
import type { Picture } from '../picture/picture';
import { Stills } from '../picture/stills';
import { Unpacker } from '../picture/unpacker';
import { Video } from '../picture/video';
import { RenderWatchdog } from '../picture/watchdog';
import { whyRefused } from '../refusal';
import { Ear } from '../sound/ear';
import type { Codec, Down, DownOf, UpOf } from '../wire';
import type { FromWorker, Size, ToWorker, Trouble } from './messages';

type Opened = Extract<ToWorker, { kind: 'open' }>;

const TICK_MS = 500;
/** A decoder that was started anew so often, and never painted, is not going to. */
const TRIES = 3;
/** What the wire's byte for it holds. */
const LONGEST_QUEUE = 255;

/**
 * A desktop that is looked at: its connection, decoder and canvas, all in one worker.
 *
 * The socket is here and not in the page, so that a picture never waits for the page's own work.
 * What is typed waits neither: decoding happens elsewhere, a turn of this worker is at most one
 * painting, and of all the pictures that came only the newest is painted.
 */
export class Session {
  readonly #canvas: OffscreenCanvas;
  readonly #post: (message: FromWorker) => void;
  readonly #name: string;
  readonly #connection: DesktopConnection;
  readonly #video: Video;
  readonly #stills: Stills;
  readonly #painter: Painter;
  readonly #unpacker: Unpacker;
  readonly #clock = new DesktopClock();
  readonly #meter = new Meter();
  readonly #acks = new Acks((sequence) => {
    const queue = Math.min(this.#video.queue, LONGEST_QUEUE);
    this.#connection.send({ kind: 'painted', sequence, queue });
  });
  readonly #ear = new Ear((samples) => {
    this.#post({ kind: 'sound', samples });
  });
  #watchdog = new RenderWatchdog();
  readonly #ticks: ReturnType<typeof setInterval>;
  #codecs: Codec[];
  #codec: Codec = 'stills';
  #frame: Size;
  #visible: boolean;
  #kbits = 0;
  #listens = false;
  #looksOn = false;
  #painted: Size | undefined;
  #trouble: Trouble | null = null;

  constructor(opened: Opened, codecs: Codec[], post: (message: FromWorker) => void) {
    this.#canvas = opened.canvas;
    this.#post = post;
    this.#name = opened.name;
    this.#frame = opened.size;
    this.#visible = opened.visible;
    this.#codecs = codecs;
    this.#painter = this.#makePainter();
    this.#unpacker = this.#makeUnpacker();
    this.#video = this.#makeVideo();
    this.#stills = this.#makeStills();
    this.#connection = this.#makeConnection(opened.url);
    this.#connection.look(opened.visible);
    this.#connection.wake();
    this.#ticks = setInterval(() => {
      this.#tick();
    }, TICK_MS);
  }

  told(message: Exclude<ToWorker, { kind: 'open' }>): void {
    switch (message.kind) {
      case 'say':
        this.#connection.send(message.message);
        break;
      case 'look':
        this.#look(message.visible);
        break;
      case 'framed':
        this.#frame = message.size;
        break;
      case 'bound':
        this.#kbits = message.kbits;
        this.#connection.send({ kind: 'bitrate', kbits: message.kbits });
        break;
      case 'lookOn':
        if (this.#looksOn === message.on) break;
        this.#looksOn = message.on;
        this.#connection.anew();
        break;
      case 'listen':
        this.#listens = message.on;
        this.#connection.send({ kind: 'audio', on: message.on });
        break;
      case 'wake':
        this.#connection.wake();
        break;
      case 'screenshot':
        void this.#screenshot();
        break;
      case 'close':
        clearInterval(this.#ticks);
        this.#connection.close();
        this.#forget();
        break;
    }
  }

  #makePainter(): Painter {
    return new Painter({
      surface: this.#canvas,
      schedule: nextFrame,
      then: (done) => setTimeout(done, 0),
      onPainted: (picture) => {
        this.#onPainted(picture);
      },
      onSkipped: () => {
        this.#meter.dropped(1);
      },
    });
  }

  #makeUnpacker(): Unpacker {
    return new Unpacker({
      onPicture: (picture) => {
        this.#painter.show(picture);
      },
      onSkipped: () => {
        this.#meter.dropped(1);
      },
    });
  }

  #makeVideo(): Video {
    return new Video({
      create: (init) => new VideoDecoder(init),
      onPicture: (picture) => {
        this.#painter.expect();
        this.#unpacker.take(picture);
      },
      onDropped: (pictures) => {
        this.#meter.dropped(pictures);
      },
      onKeyNeeded: () => {
        this.#connection.send({ kind: 'keyframe' });
      },
      onUnsupported: () => {
        this.#giveUpCodec();
      },
    });
  }

  #makeStills(): Stills {
    return new Stills({
      open: (jpeg) => createImageBitmap(jpeg),
      onPicture: (picture) => {
        this.#painter.show(picture);
      },
      onDropped: () => {
        this.#meter.dropped(1);
      },
    });
  }

  #makeConnection(url: string): DesktopConnection {
    return new DesktopConnection({
      connect: () => new WebSocket(url),
      hello: () => this.#hello(),
      onMessage: (message, bytes) => {
        this.#meter.received(performance.now(), bytes);
        this.#heard(message);
      },
      onPong: (sent, received, desktopMicros) => {
        this.#clock.heard(sent, received, desktopMicros / 1_000);
      },
      onState: (state) => {
        this.#onState(state);
      },
      onRefused: () => {
        this.#post({ kind: 'refused' });
      },
      whyRefused: () => whyRefused(url),
    });
  }

  #hello(): UpOf<'hello'> {
    return {
      kind: 'hello',
      looksOn: this.#looksOn,
      patches: true,
      ...this.#frame,
      codecs: this.#codecs,
      name: this.#name,
    };
  }

  #heard(message: Exclude<Down, DownOf<'pong'>>): void {
    switch (message.kind) {
      case 'hello':
        this.#greeted(message);
        break;
      case 'frame':
      case 'patch':
      case 'still':
        this.#pictured(message);
        break;
      case 'audio':
        // A few pieces may be on their way when it is switched off.
        if (this.#listens) this.#ear.hear(message);
        break;
      default:
        this.#post({ kind: 'heard', message });
    }
  }

  #greeted(hello: DownOf<'hello'>): void {
    this.#codec = hello.codec;
    if (hello.codec === 'stills') this.#video.close();
    else this.#video.configure(hello.config);
    if (this.#kbits > 0) this.#connection.send({ kind: 'bitrate', kbits: this.#kbits });
    if (this.#listens && hello.audio) this.#connection.send({ kind: 'audio', on: true });
    this.#tellTrouble(this.#lasting());
    this.#post({ kind: 'heard', message: hello });
  }

  /** What stays wrong while this connection is there. */
  #lasting(): Trouble | null {
    if (this.#trouble === 'decoder-given-up') return this.#trouble;
    if (this.#codec !== 'stills' || 'VideoDecoder' in self) return null;
    return isSecureContext ? 'no-webcodecs' : 'not-secure';
  }

  #pictured(message: DownOf<'frame' | 'patch' | 'still'>): void {
    if (!this.#visible) return;
    this.#watchdog.arrived(performance.now());
    switch (message.kind) {
      case 'frame':
        this.#acks.arrived(message.picture.byteLength);
        this.#video.decode(message);
        break;
      case 'patch':
        this.#acks.arrived(message.qoi.byteLength);
        this.#video.patch(message);
        break;
      case 'still':
        this.#acks.arrived(message.jpeg.byteLength);
        this.#stills.show(message);
    }
  }

  #onPainted({ sequence, captured, width, height }: Picture): void {
    const now = performance.now();
    this.#acks.painted(sequence, now);
    this.#connection.proven();
    this.#meter.painted(now, this.#clock.age(captured / 1_000, now));
    this.#watchdog.painted();
    if (this.#trouble === 'stuck') this.#tellTrouble(this.#lasting());
    if (this.#painted?.width !== width || this.#painted.height !== height) {
      this.#painted = { width, height };
      this.#post({ kind: 'size', size: this.#painted });
    }
  }

  #onState(state: ConnectionState): void {
    // The process at the other end may be another one, with another clock and other numbers.
    if (state.kind !== 'live') this.#forget();
    this.#post({ kind: 'state', state });
  }

  #look(visible: boolean): void {
    this.#visible = visible;
    if (!visible) {
      this.#unpacker.drop();
      this.#painter.drop();
      this.#video.skip();
      this.#stills.skip();
      this.#watchdog.forgive();
    }
    this.#connection.look(visible);
  }

  #forget(): void {
    this.#unpacker.drop();
    this.#painter.drop();
    this.#video.close();
    this.#stills.skip();
    this.#ear.close();
    this.#watchdog.forgive();
    this.#acks.forget();
    this.#clock.forget();
  }

  #tick(): void {
    const now = performance.now();
    if (this.#visible && this.#watchdog.stuck(now)) this.#unstick();
    const figures = this.#meter.figures(now, this.#clock.roundTrip(), this.#video.queue);
    this.#post({ kind: 'figures', figures });
  }

  #unstick(): void {
    if (this.#codec === 'stills') return;
    if (this.#watchdog.rebuilt >= TRIES) {
      this.#giveUpCodec();
    } else {
      this.#tellTrouble('stuck');
      this.#video.rebuild();
    }
  }

  /** Comes again without a codec that cannot be decoded here, whatever the browser says. */
  #giveUpCodec(): void {
    this.#codecs = this.#codecs.filter((codec) => codec !== this.#codec);
    this.#watchdog = new RenderWatchdog();
    this.#tellTrouble('decoder-given-up');
    this.#connection.again();
  }

  #tellTrouble(trouble: Trouble | null): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#post({ kind: 'trouble', trouble });
  }

  async #screenshot(): Promise<void> {
    const png = this.#painted
      ? await this.#canvas.convertToBlob({ type: 'image/png' }).catch(() => null)
      : null;
    this.#post({ kind: 'picture', png });
  }
}
