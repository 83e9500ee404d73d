import createClient from 'openapi-fetch';

import { ApiFailure } from '../api/failure';
import type { paths } from '../api/schema.gen';

/** As long as the control plane itself waits for git and a server. */
const TIMEOUT_MS = 31 * 60_000;

/** The REST API for what waits for a git server, which other calls do not. */
export const patient = createClient<paths>({
  baseUrl: window.location.origin,
  credentials: 'same-origin',
  fetch: async (request) => {
    const signal = AbortSignal.any([request.signal, AbortSignal.timeout(TIMEOUT_MS)]);
    try {
      return await fetch(request, { signal });
    } catch (error) {
      if (request.signal.aborted) throw error;
      throw ApiFailure.unreachable(error);
    }
  },
});
