/** One request to the API server, under a deadline, with errors that say which status and when to come back. */

import type { HttpMethod } from '@kubernetes/client-node';
import { GateError } from '../errors.ts';
import { loadClient } from './clientParts.ts';
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
  /** Default: `application/json`. */
  readonly accept?: string | undefined;
}

export interface Transport {
  /** The parsed answer. @throws KUBERNETES_REFUSED, KUBERNETES_UNREACHABLE, KUBERNETES_CONFIG */
  send(call: Call, deadlineMs: number): Promise<unknown>;
  /**
   * The lines of an answer that goes on, until the server ends it.
   * @throws as `send`, also while iterating
   */
  lines(call: Call, limits: LineLimits): Promise<AsyncIterable<string>>;
  close(): void;
}

export interface LineLimits {
  /** Until the server begins to answer. */
  readonly deadlineMs: number;
  /** From there until it must have ended; after that it counts as hanging. */
  readonly lifeMs: number;
  /** Ends it from our side. */
  readonly signal: AbortSignal;
}

/** No object of the API server is larger than etcd's 1.5 MiB; a page of 500 large pods stays far below. */
const maxLineChars = 16 * 1024 * 1024;

export async function makeTransport(connection: Connection): Promise<Transport> {
  const { IsomorphicFetchHttpLibrary, RequestContext } = await loadClient();
  const library = new IsomorphicFetchHttpLibrary();

  async function open(call: Call, signal: AbortSignal) {
    const url = new URL(connection.server + call.path);
    for (const [key, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) url.searchParams.set(key, value);
    }
    const context = new RequestContext(url.href, call.method);
    const { headers, dispatcher } = await abortable(connection.credentials(), signal);
    for (const [name, value] of Object.entries(headers)) context.setHeaderParam(name, value);
    context.setHeaderParam('Accept', call.accept ?? 'application/json');
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
      const limit = limited();
      limit.within(deadlineMs, `no answer within ${deadlineMs} ms`);
      try {
        const answer = await open(call, limit.signal);
        const text = await answer.body.text();
        return text === '' ? {} : JSON.parse(text);
      } catch (error) {
        throw unreachable(call, error);
      } finally {
        limit.end();
      }
    },
    async lines(call, { deadlineMs, lifeMs, signal }) {
      const limit = limited(signal);
      limit.within(deadlineMs, `no answer within ${deadlineMs} ms`);
      try {
        const answer = await open(call, limit.signal);
        limit.within(lifeMs, `silent: should have ended within ${lifeMs} ms`);
        return linesOf(call, answer.body.stream() ?? new ReadableStream(), limit);
      } catch (error) {
        limit.end();
        throw unreachable(call, error);
      }
    },
    close: () => connection.close(),
  };
}

/** Splits at newlines. Linear also when a line comes in many small pieces. */
async function* linesOf(
  call: Call,
  stream: ReadableStream<Uint8Array>,
  limit: Limit,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let pieces: string[] = [];
  let chars = 0;
  try {
    for await (const bytes of stream) {
      const [head = '', ...rest] = decoder.decode(bytes, { stream: true }).split('\n');
      pieces.push(head);
      chars += head.length;
      if (chars > maxLineChars) throw new Error(`a line is longer than ${maxLineChars} characters`);
      for (const next of rest) {
        const line = pieces.join('');
        if (line !== '') yield line;
        pieces = [next];
        chars = next.length;
      }
    }
    // What follows the last newline was cut off in the middle: the server ends every line with one.
  } catch (error) {
    throw unreachable(call, error);
  } finally {
    limit.end();
  }
}

interface Limit {
  readonly signal: AbortSignal;
  /** Aborts `ms` from now, saying `why`; replaces what was set before. */
  within(ms: number, why: string): void;
  end(): void;
}

/**
 * A signal with a timer that can be set again. Not `AbortSignal.any` of `AbortSignal.timeout`: nothing but a weak
 * reference holds those together, and a deadline that is collected never fires.
 */
function limited(parent?: AbortSignal): Limit {
  const controller = new AbortController();
  const stop = () => controller.abort(parent?.reason);
  if (parent?.aborted) stop();
  parent?.addEventListener('abort', stop, { once: true });
  let timer: NodeJS.Timeout | undefined;
  return {
    signal: controller.signal,
    within(ms, why) {
      clearTimeout(timer);
      timer = setTimeout(() => controller.abort(new Error(why)), ms);
    },
    end() {
      clearTimeout(timer);
      parent?.removeEventListener('abort', stop);
    },
  };
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

function unreachable(call: Call, error: unknown): unknown {
  if (error instanceof GateError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
  const what = `${text}${cause}`.replaceAll(/\s+/g, ' ');
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
