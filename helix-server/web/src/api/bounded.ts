/** Answers whose author may be anybody: what runs inside a sandbox can write without an end. */
import { ApiFailure } from './failure';
import { readJson } from './inside';

/** No explanation of a failure is longer. */
const LONGEST_FAILURE = 64 * 1024;

/** The first bytes of an answer, at most so many. What comes after them is not fetched. */
export async function firstBytes(
  response: Response,
  most: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  while (reader && length < most) {
    const { value, done } = await reader.read();
    if (done) break;
    const part = value.subarray(0, most - length);
    parts.push(part);
    length += part.length;
  }
  // There is nothing to cancel where all was read.
  await reader?.cancel().catch(() => undefined);
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Why this answer is not a success. */
export async function failureOf(response: Response): Promise<ApiFailure> {
  const bytes = await firstBytes(response, LONGEST_FAILURE).catch(() => new Uint8Array());
  return ApiFailure.fromBody(response.status, readJson(new TextDecoder().decode(bytes)));
}
