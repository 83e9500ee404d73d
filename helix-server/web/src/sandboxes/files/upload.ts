/** Sends files into a sandbox, one after the other, and says how far it is. */
import { asUser, filesQuery, insideUrl, readJson, type FileUser } from '../../api/inside';
import { ApiFailure } from '../../api/failure';

/** An upload of which nothing moved for this long is given up. */
const STALLED_MS = 60_000;

interface Upload {
  sandboxId: string;
  /** Encoded. */
  path: string;
  user: FileUser;
  file: Blob;
  onProgress: (sentBytes: number) => void;
  signal: AbortSignal;
}

/** Writes a file; `fetch` cannot say how far it is. */
export function upload(given: Upload): Promise<void> {
  const { sandboxId, path, user, file, onProgress, signal } = given;
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    };
    const abort = () => {
      request.abort();
    };
    const moved = () => {
      clearTimeout(timer);
      timer = setTimeout(abort, STALLED_MS);
    };
    request.upload.onprogress = (event) => {
      moved();
      onProgress(event.loaded);
    };
    request.onload = () => {
      end();
      if (request.status < 300) done();
      else failed(ApiFailure.fromBody(request.status, readJson(request.responseText)));
    };
    request.onerror = () => {
      end();
      failed(ApiFailure.unreachable(undefined));
    };
    request.onabort = () => {
      end();
      const why = new DOMException('stalled', 'TimeoutError');
      failed(signal.aborted ? new Cancelled() : ApiFailure.unreachable(why));
    };
    signal.addEventListener('abort', abort);
    const query = filesQuery({ path, ...asUser(user) });
    request.open('PUT', insideUrl(sandboxId, `files/content?${query}`));
    request.setRequestHeader('content-type', 'application/octet-stream');
    moved();
    request.send(file);
  });
}

/** Somebody did not want it any more. */
export class Cancelled extends Error {
  constructor() {
    super('Cancelled.');
    this.name = 'Cancelled';
  }
}
