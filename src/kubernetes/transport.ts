/** One request to the API server, under a deadline, with errors that say which status and when to come back. */

import type { HttpMethod } from '@kubernetes/client-node';
import { GateError } from '../errors.ts';
import type { Connection } from './connection.ts';

/** An answer of the API server that is not a success, or none at all. */
export class KubernetesError extends GateError {
  /** The HTTP status, or 0 when there was no answer: refused, reset, or over the deadline. */
  readonly status: number;
  /** The `reason` of the Status object, such as `NotFound` or `Conflict`; empty when there is none. */
  readonly reason: string;
  /** What the server asked for in `Retry-After`, in milliseconds (0 to 60000), or `undefined`. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, reason: string, message: string, retryAfterMs?: number, cause?: unknown) {
    super(status === 0 ? 'KUBERNETES_UNREACHABLE' : 'KUBERNETES_REFUSED', message, cause);
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Whether `error` is the API server's answer with this status. */
export function hasStatus(error: unknown, status: number): error is KubernetesError {
  return error instanceof KubernetesError && error.status === status;
}

export interface Call {
  readonly method: HttpMethod;
  /** Below the server, starting with `/`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  /** Default: `application/json`. */
  readonly contentType?: string;
}

export interface Transport {
  /** The parsed answer. @throws KUBERNETES_REFUSED, KUBERNETES_UNREACHABLE, KUBERNETES_CONFIG */
  send(call: Call, deadlineMs: number): Promise<unknown>;
  /**
   * The lines of an answer that goes on. Only the headers are under the deadline; `signal` ends the lines.
   * @throws as `send`
   */
  lines(call: Call, deadlineMs: number, signal: AbortSignal): Promise<AsyncIterable<string>>;
  close(): void;
}

/** No object of the API server is larger than etcd's 1.5 MiB; a page of 500 large pods stays far below. */
const maxLineChars = 16 * 1024 * 1024;

export async function makeTransport(connection: Connection): Promise<Transport> {
  const { IsomorphicFetchHttpLibrary, RequestContext } = await import('@kubernetes/client-node');
  const library = new IsomorphicFetchHttpLibrary();

  async function open(call: Call, signal: AbortSignal) {
    const url = new URL(connection.server + call.path);
    for (const [key, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) url.searchParams.set(key, value);
    }
    const context = new RequestContext(url.href, call.method);
    const { headers, dispatcher } = await abortable(connection.credentials(), signal);
    for (const [name, value] of Object.entries(headers)) context.setHeaderParam(name, value);
    context.setHeaderParam('Accept', 'application/json');
    context.setHeaderParam('User-Agent', 'd4c-gate');
    if (call.body !== undefined) {
      context.setHeaderParam('Content-Type', call.contentType ?? 'application/json');
      context.setBody(JSON.stringify(call.body));
    }
    if (dispatcher !== undefined) context.setDispatcher(dispatcher);
    context.setSignal(signal);
    const answer = await library.send(context).toPromise();
    if (answer.httpStatusCode >= 200 && answer.httpStatusCode < 300) return answer;
    if (answer.httpStatusCode === 401) connection.forgetCredentials();
    throw refused(call, answer.httpStatusCode, await answer.body.text(), answer.headers['retry-after']);
  }

  return {
    async send(call, deadlineMs) {
      try {
        const answer = await open(call, AbortSignal.timeout(deadlineMs));
        const text = await answer.body.text();
        return text === '' ? {} : JSON.parse(text);
      } catch (error) {
        throw unreachable(call, error, deadlineMs);
      }
    },
    async lines(call, deadlineMs, signal) {
      const headers = new AbortController();
      const late = setTimeout(() => headers.abort(new DOMException('no answer', 'TimeoutError')), deadlineMs);
      try {
        const answer = await open(call, AbortSignal.any([signal, headers.signal]));
        const stream = answer.body.stream();
        if (stream === null) throw new Error('empty answer');
        return linesOf(stream);
      } catch (error) {
        throw unreachable(call, error, deadlineMs);
      } finally {
        clearTimeout(late);
      }
    },
    close: () => connection.close(),
  };
}

/** Splits at newlines. Linear also when a line comes in many small pieces. */
async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let pieces: string[] = [];
  let chars = 0;
  for await (const bytes of stream) {
    const [head = '', ...rest] = decoder.decode(bytes, { stream: true }).split('\n');
    pieces.push(head);
    chars += head.length;
    if (chars > maxLineChars)
      throw new Error(`a line of the answer is longer than ${maxLineChars} characters`);
    for (const next of rest) {
      const line = pieces.join('');
      if (line !== '') yield line;
      pieces = [next];
      chars = next.length;
    }
  }
  // What follows the last newline was cut off in the middle: the server ends every watch event with one.
}

function refused(call: Call, status: number, text: string, retryAfter: string | undefined): KubernetesError {
  let reason = '';
  let message = text.slice(0, 300);
  try {
    const body: { reason?: string; message?: string } = JSON.parse(text);
    reason = body.reason ?? '';
    message = body.message ?? message;
  } catch {
    // A proxy in between answers HTML or plain text; its beginning says enough.
  }
  const seconds = Number(retryAfter);
  const retryAfterMs =
    retryAfter !== undefined && seconds >= 0 ? Math.min(seconds * 1000, 60_000) : undefined;
  return new KubernetesError(
    status,
    reason,
    `${call.method} ${call.path}: ${status} ${message.replaceAll(/\s+/g, ' ').trim()}`,
    retryAfterMs,
  );
}

function unreachable(call: Call, error: unknown, deadlineMs: number): unknown {
  if (error instanceof GateError) return error;
  const name = error instanceof Error ? error.name : '';
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
  const text = error instanceof Error ? error.message : String(error);
  const what =
    name === 'TimeoutError' ? `no answer within ${deadlineMs} ms` : `${text}${cause}`.replaceAll(/\s+/g, ' ');
  return new KubernetesError(0, '', `${call.method} ${call.path}: ${what}`, undefined, error);
}

/** Stops waiting when `signal` fires, as it does for an exec plugin that is slower than the call's deadline. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
