import type { ApiError } from './types';

/** Why a call to the control plane did not succeed. */
export class ApiFailure extends Error {
  /** The envelope's code, or `unreachable` when no answer came at all. */
  readonly code: ApiError['code'] | 'unreachable' | 'unreadable';
  /** The HTTP status; 0 when no answer came. */
  readonly status: number;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  /** The field of the request that was not acceptable. */
  readonly field: string | undefined;
  readonly requestId: string | undefined;

  constructor(
    code: ApiFailure['code'],
    status: number,
    message: string,
    more: { retryable?: boolean; retryAfterMs?: number; field?: string; requestId?: string } = {},
  ) {
    super(message);
    this.name = 'ApiFailure';
    this.code = code;
    this.status = status;
    this.retryable = more.retryable ?? false;
    this.retryAfterMs = more.retryAfterMs;
    this.field = more.field;
    this.requestId = more.requestId;
  }

  /** Reads the error envelope of an answer that was not a success. */
  static fromBody(status: number, body: unknown): ApiFailure {
    const error = readEnvelope(body);
    if (!error) {
      const retryable = status === 502 || status === 503 || status === 504;
      return new ApiFailure(
        'unreadable',
        status,
        retryable
          ? `The server is not ready (status ${status}). Try again in a moment.`
          : `The server answered with status ${status} and no explanation.`,
        { retryable },
      );
    }
    return new ApiFailure(error.code, status, sentence(error.message), {
      retryable: error.retryable,
      ...(error.retry_after_ms != null && { retryAfterMs: error.retry_after_ms }),
      ...(error.field != null && { field: error.field }),
      ...(error.request_id != null && { requestId: error.request_id }),
    });
  }

  /** No answer came. */
  static unreachable(cause: unknown): ApiFailure {
    const timedOut = cause instanceof DOMException && cause.name === 'TimeoutError';
    const failure = new ApiFailure(
      'unreachable',
      0,
      timedOut
        ? 'The server took too long to answer. Try again in a moment.'
        : 'The server cannot be reached. Check your connection and that Helix is running.',
      { retryable: true },
    );
    failure.cause = cause;
    return failure;
  }
}

function readEnvelope(body: unknown): ApiError | undefined {
  if (typeof body !== 'object' || body === null || !('error' in body)) return undefined;
  const error = body.error;
  if (typeof error !== 'object' || error === null) return undefined;
  const complete = 'code' in error && 'message' in error && typeof error.message === 'string';
  return complete ? (error as ApiError) : undefined;
}

/** Messages come in lower case and without a full stop; people read sentences. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  if (trimmed === '') return trimmed;
  const capital = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}

/** What to show of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'Something went wrong.';
}
