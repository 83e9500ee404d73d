import createClient from 'openapi-fetch';

import { ApiFailure } from './failure';
import type { paths } from './schema.gen';

/** No call waits for longer than this. */
const TIMEOUT_MS = 30_000;

/** Fetches, but never waits for longer than a call may. */
export async function boundedFetch(request: Request): Promise<Response> {
  const signal = AbortSignal.any([request.signal, AbortSignal.timeout(TIMEOUT_MS)]);
  try {
    return await fetch(request, { signal });
  } catch (error) {
    // Who aborted the request is no longer interested in why it failed.
    if (request.signal.aborted) throw error;
    throw ApiFailure.unreachable(error);
  }
}

/** The REST API, typed by the OpenAPI document. */
export const http = createClient<paths>({
  baseUrl: window.location.origin,
  credentials: 'same-origin',
  fetch: boundedFetch,
});

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The body of a successful answer; throws an {@link ApiFailure} otherwise. */
export async function call<T>(answer: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await answer;
  if (!response.ok) throw ApiFailure.fromBody(response.status, error);
  return data as T;
}
