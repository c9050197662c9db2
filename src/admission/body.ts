/** The body of a request, read once into one text. Everything is limited: size, time, encoding. */

import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { GateError } from '../errors.ts';

/** The API server sends objects of up to 3 MiB, twice on UPDATE, and some more. */
export const maxBodyBytes = 7 << 20;

export interface BodyLimits {
  /** How long it may take to arrive. */
  readonly deadlineMs: number;
  /** Told of the bytes that are held in memory. @throws OVERLOADED when they are too many */
  readonly hold?: (bytes: number) => void;
}

/**
 * The body as JSON.
 * @throws REVIEW_CONTENT_TYPE @throws REVIEW_TOO_LARGE @throws REVIEW_INCOMPLETE @throws REVIEW_NOT_JSON @throws OVERLOADED
 */
export async function readJson(request: IncomingMessage, limits: BodyLimits): Promise<unknown> {
  checkHeaders(request);
  const bytes = await readBytes(request, limits);
  if (bytes.length === 0) throw new GateError('REVIEW_NOT_JSON', 'the body is empty');
  if (!isUtf8(bytes)) throw new GateError('REVIEW_NOT_JSON', 'the body is not UTF-8');
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    // The parser's own message quotes the body; it stays out of answers and logs.
    throw new GateError('REVIEW_NOT_JSON', 'the body is not JSON', error);
  }
}

function checkHeaders({ headers }: IncomingMessage): void {
  const [type = ''] = (headers['content-type'] ?? '').split(';', 1);
  if (type.trim().toLowerCase() !== 'application/json') {
    throw new GateError('REVIEW_CONTENT_TYPE', 'the body must have the content type `application/json`');
  }
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') {
    throw new GateError('REVIEW_CONTENT_TYPE', 'the body must come without `content-encoding`');
  }
}

/**
 * What is too much is read to its end and thrown away: whoever still sends when the connection closes gets a
 * reset instead of the answer.
 */
function readBytes(request: IncomingMessage, { deadlineMs, hold }: BodyLimits): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] = [];
    let length = 0;
    let refusal: unknown;
    const settle = (error?: GateError): void => {
      clearTimeout(deadline);
      request.off('data', take).off('end', settle).off('close', abort);
      if (refusal !== undefined) reject(refusal);
      else if (error !== undefined) reject(error);
      else resolve(Buffer.concat(chunks, length));
    };
    const take = (chunk: Buffer): void => {
      if (refusal !== undefined) return;
      length += chunk.length;
      try {
        if (length > maxBodyBytes) throw tooLarge();
        hold?.(chunk.length);
        chunks.push(chunk);
      } catch (error) {
        refusal = error;
        chunks = [];
      }
    };
    const abort = (): void => settle(incomplete('the body ended too early'));
    const expire = (): void =>
      settle(incomplete(`the body took longer than ${Math.round(deadlineMs)} milliseconds`));
    const deadline = setTimeout(expire, deadlineMs);
    request.on('data', take).once('end', settle).once('close', abort);
    // The connection's end comes as `close` too, and after the answer there is nobody left to tell.
    request.on('error', () => undefined);
  });
}

function incomplete(message: string): GateError {
  return new GateError('REVIEW_INCOMPLETE', message);
}

function tooLarge(): GateError {
  return new GateError('REVIEW_TOO_LARGE', `the body is larger than ${maxBodyBytes} bytes`);
}
