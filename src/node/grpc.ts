/**
 * Unary gRPC calls over a unix socket, and no more of gRPC than that: no streams, no compression, no balancing. The form is
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md; why this is not a library says ADR 17.
 *
 * Owns its HTTP/2 sessions: the one that calls go to, made by the first call and by the first one after it ended, and
 * those that are given up, each until its last call has settled. Of `request` it keeps nothing once its promise has settled.
 */

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect as connectSocket } from 'node:net';

/** The most that an answer may take, and what is refused by its announced length. */
export const maxAnswerBytes = 16 << 20;
/** Of a server's own words in an error. */
const maxReasonLength = 300;
const prefixBytes = 5;
const notFound = 5;

export interface GrpcClient {
  /**
   * The answer to one call. `undefined`: the server has no such object (NOT_FOUND). Rejects when it cannot be asked, answers
   * with another status or against the protocol, or not within `deadlineMs`. May reach a server twice that went away meanwhile: for
   * calls that only read.
   * @param path of the method, `/package.Service/Method`
   */
  call(
    path: string,
    request: Uint8Array,
    metadata: Readonly<Record<string, string>>,
    deadlineMs: number,
  ): Promise<Uint8Array | undefined>;
  /** Ends every session now; calls that wait are rejected. Twice is fine. */
  close(): void;
}

/** One session, and what is known of its server. */
interface Line {
  readonly session: ClientHttp2Session;
  /** Calls that have not settled. */
  waiting: number;
  /** When an answer began last, in milliseconds of `performance.now`; 0: never. */
  answeredAt: number;
  /** Takes no further calls, and ends with the last one. */
  isGivenUp: boolean;
  /** Why the session ended, if it says so. */
  reason: Error | undefined;
}

/** The session ended before the server said anything of this call. */
class LineEnded extends Error {}

/** Connects at the first call. `server` is the one to name in errors. */
export function openGrpcClient(socket: string, server: string): GrpcClient {
  const lines = new Set<Line>();
  let current: Line | undefined;
  let isClosed = false;

  const lineNow = (): Line => {
    if (current !== undefined && !current.session.closed && !current.session.destroyed) return current;
    const session = connect('http://localhost', {
      createConnection: () => connectSocket(socket),
      settings: { enablePush: false },
    });
    const line: Line = { session, waiting: 0, answeredAt: 0, isGivenUp: false, reason: undefined };
    session.on('error', (error) => {
      line.reason = error;
    });
    session.on('close', () => lines.delete(line));
    lines.add(line);
    current = line;
    return line;
  };
  const settled = (line: Line): void => {
    line.waiting--;
    if (line.isGivenUp && line.waiting === 0) line.session.destroy();
  };
  /** A server that hangs must not be sent more and more; others that wait for it keep their chance. */
  const giveUp = (line: Line): void => {
    line.isGivenUp = true;
    if (current === line) current = undefined;
  };

  const ask = async (
    line: Line,
    path: string,
    request: Uint8Array,
    metadata: Readonly<Record<string, string>>,
    deadlineMs: number,
  ): Promise<Uint8Array | undefined> => {
    const askedAt = performance.now();
    line.waiting++;
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | undefined>();
    let stream: ClientHttp2Stream | undefined;
    const limit = setTimeout(() => {
      reject(new Error(`${server} did not answer within ${Math.round(deadlineMs)} ms`));
      if (line.answeredAt < askedAt) giveUp(line);
      stream?.close(constants.NGHTTP2_CANCEL);
    }, deadlineMs);
    try {
      stream = line.session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
        'grpc-timeout': `${Math.ceil(deadlineMs)}m`,
        ...metadata,
      });
      const answer = readAnswer(stream, server, () => {
        line.answeredAt = performance.now();
      });
      answer.then(resolve, (error: unknown) => {
        if (!line.session.closed && !line.session.destroyed) return reject(error);
        const why = line.reason?.message ?? 'it ended the connection';
        reject(new LineEnded(`${server} cannot be asked: ${why}`, { cause: error }));
      });
      stream.end(framed(request));
      return await promise;
    } finally {
      clearTimeout(limit);
      settled(line);
    }
  };

  return {
    async call(path, request, metadata, deadlineMs) {
      if (isClosed) throw new Error(`the connection to ${server} is closed`);
      const until = performance.now() + deadlineMs;
      const line = lineNow();
      try {
        return await ask(line, path, request, metadata, deadlineMs);
      } catch (error) {
        // A server that answered before was restarted: nobody is to blame, and the one that came after it can be asked.
        const leftMs = until - performance.now();
        if (!(error instanceof LineEnded) || line.answeredAt === 0 || isClosed || leftMs < 1) throw error;
        return await ask(lineNow(), path, request, metadata, leftMs);
      }
    },
    close() {
      isClosed = true;
      for (const line of lines) {
        line.reason = new Error('it is not needed any more');
        line.session.destroy();
      }
      lines.clear();
    },
  };
}

/** A message with its length, not compressed. */
function framed(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(prefixBytes + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, prefixBytes);
  return frame;
}

/** The one message of a unary answer; `undefined`: NOT_FOUND. `begun` is called as soon as the server says anything. */
function readAnswer(
  stream: ClientHttp2Stream,
  server: string,
  begun: () => void,
): Promise<Uint8Array | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | undefined>();
  const parts: Buffer[] = [];
  let bytes = 0;
  /** The first bytes: whether it is compressed, and how long the message is. */
  let prefix = Buffer.alloc(0);
  let outcome: IncomingHttpHeaders | undefined;
  let isRefused = false;
  const refuse = (what: string): void => {
    isRefused = true;
    reject(new Error(`${server} ${what}`));
    stream.close(constants.NGHTTP2_CANCEL);
  };
  const note = (headers: IncomingHttpHeaders): void => {
    if (headers['grpc-status'] !== undefined) outcome = headers;
  };
  stream.on('response', (headers) => {
    begun();
    const { ':status': status, 'content-type': type = '' } = headers;
    if (status !== 200) refuse(`answered with HTTP ${status}`);
    else if (!type.startsWith('application/grpc')) refuse('does not speak gRPC');
    else note(headers);
  });
  stream.on('trailers', note);
  stream.on('data', (part: Buffer) => {
    if (isRefused) return;
    parts.push(part);
    bytes += part.length;
    if (prefix.length < prefixBytes) prefix = Buffer.concat([prefix, part]).subarray(0, prefixBytes);
    if (prefix.length < prefixBytes) return;
    const announced = prefix.readUInt32BE(1);
    if (announced > maxAnswerBytes) refuse(`answers with ${announced} bytes, more than ${maxAnswerBytes}`);
    else if (bytes > prefixBytes + announced) refuse('answered with something else than one message');
  });
  stream.on('error', reject);
  // After everything else, whatever became of it.
  stream.on('close', () => {
    try {
      if (outcome === undefined) throw new Error(`${server} ended its answer without a status`);
      resolve(answerOf(Buffer.concat(parts), outcome, server));
    } catch (error) {
      reject(error);
    }
  });
  return promise;
}

function answerOf(body: Buffer, outcome: IncomingHttpHeaders, server: string): Uint8Array | undefined {
  const status = Number(outcome['grpc-status']);
  if (status === notFound) return undefined;
  if (status !== 0) throw new Error(`${server} refused: ${reasonOf(outcome)} (status ${status})`);
  if (body.length < prefixBytes || body.readUInt32BE(1) !== body.length - prefixBytes) {
    throw new Error(`${server} answered with something else than one message`);
  }
  if (body[0] !== 0) throw new Error(`${server} answered with a compressed message`);
  return body.subarray(prefixBytes);
}

/** A server's words: one line, of a bounded length. */
function reasonOf({ 'grpc-message': said = '' }: IncomingHttpHeaders): string {
  let words = String(said);
  try {
    words = decodeURIComponent(words);
  } catch {
    // As it came: what is not encoded as it should be can still be read.
  }
  return words.replace(/\p{C}+/gu, ' ').slice(0, maxReasonLength) || 'no reason given';
}
