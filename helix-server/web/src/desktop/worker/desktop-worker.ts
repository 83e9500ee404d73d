/** The worker of a desktop that is looked at. */
import { decodableCodecs } from '../picture/codecs';
import type { FromWorker, ToWorker } from './messages';
import { Session } from './session';

/** What is used of a worker's global scope; the page's own types know none. */
interface Scope {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker): void;
}

const scope = self as unknown as Scope;
const post = (message: FromWorker) => {
  scope.postMessage(message);
};

let session: Session | undefined;
/** What was said before it was known what this browser decodes. */
const early: Exclude<ToWorker, { kind: 'open' }>[] = [];

scope.onmessage = ({ data }) => {
  if (data.kind === 'open') void open(data);
  else if (session) session.told(data);
  else early.push(data);
};

async function open(opened: Extract<ToWorker, { kind: 'open' }>): Promise<void> {
  const ask =
    'VideoDecoder' in self
      ? (config: VideoDecoderConfig) => VideoDecoder.isConfigSupported(config)
      : undefined;
  session = new Session(opened, await decodableCodecs(ask), post);
  for (const message of early.splice(0)) session.told(message);
}
