/** HTTP over a bare connection, for clients that leave the processors to those they ask: bytes made once, answers read just far enough. */

/** A request for all connections; each is kept afterwards. */
export function postOf(path: string, body: string): Buffer {
  const head = `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n`;
  return Buffer.from(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

export interface Answer {
  /** 0: what has come is no answer whose end can be told. */
  readonly status: number;
  /** Head and body, as `latin1`. */
  readonly text: string;
  readonly body: string;
  /** The server takes nothing more on this connection. */
  readonly isLast: boolean;
}

/** Of what has come, as `latin1`; `undefined`: there is more to come. */
export function wholeAnswer(text: string): Answer | undefined {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const head = text.slice(0, headEnd);
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1]);
  if (Number.isNaN(length)) return { status: 0, text, body: '', isLast: true };
  if (text.length < headEnd + 4 + length) return undefined;
  const status = Number(/^HTTP\/1\.1 (\d+) /.exec(head)?.[1] ?? 0);
  return { status, text, body: text.slice(headEnd + 4), isLast: /\r\nconnection: close/i.test(head) };
}
