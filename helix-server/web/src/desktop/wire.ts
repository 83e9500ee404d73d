/**
 * The desktop's protocol, version 1, as a viewer speaks it: what it says is written, what it is
 * told is read. The contract is `docs/desktop-protocol.md`.
 */
export { WireError } from './wire/bytes';
export { decodeDown } from './wire/down';
export {
  CODECS,
  FULL,
  LARGEST_CLIPBOARD,
  LARGEST_SIDE,
  VERSION,
  type Codec,
  type Down,
  type DownKind,
  type DownOf,
  type Present,
  type Up,
  type UpOf,
} from './wire/messages';
export { encodeUp } from './wire/up';
