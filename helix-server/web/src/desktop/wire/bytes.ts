/** Integers, texts and bytes of a message, big endian and checked against their bounds. */

/** A message that cannot be read, or cannot be written. */
export class WireError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'WireError';
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads the fields of one message in their order. */
export class Reader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  /** Up to what a number holds exactly: microseconds of 285 years. */
  u64(): number {
    const value = Number(this.#view.getBigUint64(this.#take(8)));
    if (!Number.isSafeInteger(value)) throw new WireError('a number is too large');
    return value;
  }

  str8(): string {
    return this.#text(this.u8());
  }

  str16(): string {
    return this.#text(this.u16());
  }

  /** All that is left. */
  rest(): Uint8Array<ArrayBuffer> {
    const rest = this.#bytes.subarray(this.#at);
    this.#at = this.#bytes.length;
    return rest;
  }

  /** Nothing may follow the last field. */
  end(): void {
    const left = this.#bytes.length - this.#at;
    if (left > 0) throw new WireError(`${left} bytes follow the last field`);
  }

  #text(length: number): string {
    const start = this.#take(length);
    try {
      return UTF8.decode(this.#bytes.subarray(start, start + length));
    } catch {
      throw new WireError('a text is not UTF-8');
    }
  }

  #take(length: number): number {
    const start = this.#at;
    if (start + length > this.#bytes.length) throw new WireError('the message is cut short');
    this.#at += length;
    return start;
  }
}

/** Writes the fields of one message in their order. */
export class Writer {
  readonly #bytes: number[] = [];

  u8(value: number): this {
    return this.#unsigned(value, 1);
  }

  u16(value: number): this {
    return this.#unsigned(value, 2);
  }

  u32(value: number): this {
    return this.#unsigned(value, 4);
  }

  u64(value: number): this {
    return this.#unsigned(value, 8);
  }

  i16(value: number): this {
    return this.#signed(value, 2);
  }

  i32(value: number): this {
    return this.#signed(value, 4);
  }

  bool(value: boolean): this {
    return this.u8(value ? 1 : 0);
  }

  str8(text: string): this {
    const bytes = new TextEncoder().encode(text);
    this.u8(bytes.length);
    this.#bytes.push(...bytes);
    return this;
  }

  /** The message, with `rest` after its fields. */
  finish(rest: Uint8Array = new Uint8Array()): Uint8Array<ArrayBuffer> {
    const message = new Uint8Array(this.#bytes.length + rest.length);
    message.set(this.#bytes);
    message.set(rest, this.#bytes.length);
    return message;
  }

  #unsigned(value: number, size: number): this {
    const most = size === 8 ? Number.MAX_SAFE_INTEGER : 256 ** size - 1;
    return this.#put(value, size, 0, most);
  }

  #signed(value: number, size: number): this {
    const half = 256 ** size / 2;
    return this.#put(value, size, -half, half - 1);
  }

  #put(value: number, size: number, least: number, most: number): this {
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new WireError(`${value} does not fit into ${size * 8} bits`);
    }
    let left = value < 0 ? value + 256 ** size : value;
    const digits: number[] = [];
    for (let digit = 0; digit < size; digit += 1) {
      digits.unshift(left % 256);
      left = Math.floor(left / 256);
    }
    this.#bytes.push(...digits);
    return this;
  }
}
