import { failureOf } from '../api/bounded';
import { ApiFailure, sentence } from '../api/failure';
import { insideUrl, readJson } from '../api/inside';
import type { GitCloneEvent, GitRepository } from '../api/types';

/** No event is longer; what runs inside a sandbox could write without an end. */
const LONGEST_EVENT = 64 * 1024;

export interface CloneProgress {
  what: string;
  percent?: number | null;
}

/** Clones a repository, and says how it goes. */
export async function cloneRepository(
  sandboxId: string,
  asked: { url: string; branch: string },
  heard: (progress: CloneProgress) => void,
): Promise<GitRepository> {
  const { url, branch } = asked;
  const response = await fetch(insideUrl(sandboxId, 'git/clone'), {
    method: 'POST',
    credentials: 'same-origin',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ url, ...(branch !== '' && { branch }), stream: true }),
  }).catch((error: unknown) => {
    throw ApiFailure.unreachable(error);
  });
  if (!response.ok) throw await failureOf(response);
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  try {
    return await follow(reader, heard);
  } finally {
    // What comes after the outcome is not waited for.
    await reader?.cancel().catch(() => undefined);
  }
}

async function follow(
  reader: ReadableStreamDefaultReader<string> | undefined,
  heard: (progress: CloneProgress) => void,
): Promise<GitRepository> {
  let rest = '';
  while (reader) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (rest + value).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > LONGEST_EVENT) {
      throw new ApiFailure('unreadable', 200, 'The sandbox answered with something unreadable.');
    }
    for (const line of lines) {
      const event = readJson(line) as GitCloneEvent | undefined;
      if (event?.type === 'done') return event.repository;
      if (event?.type === 'failed') {
        throw new ApiFailure('conflict', 409, sentence(event.message));
      }
      if (event) heard(event);
    }
  }
  throw new ApiFailure('unreachable', 0, 'The connection ended before the clone did.');
}
