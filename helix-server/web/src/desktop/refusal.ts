/** Why a socket was refused: a page is not shown the answer, so that another one is asked for. */
import { failureOf } from '../api/bounded';
import { ApiFailure } from '../api/failure';

/** No answer takes longer. */
const TIMEOUT_MS = 10_000;
/** What is inside a sandbox chooses the words. */
const LONGEST = 300;

/**
 * Asks the same way for something small, once. Nothing where that is answered: then it may have
 * been the socket alone.
 */
export async function whyRefused(socketUrl: string): Promise<string | undefined> {
  const url = `${socketUrl.replace(/^ws/, 'http')}/thumbnail`;
  try {
    const answer = await fetch(url, {
      credentials: 'same-origin',
      cache: 'no-store',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (answer.ok) {
      await answer.body?.cancel();
      return undefined;
    }
    const failure = await failureOf(answer);
    return failure.message.slice(0, LONGEST);
  } catch (error) {
    return ApiFailure.unreachable(error).message;
  }
}
