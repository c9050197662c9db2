/** Stands between a client and a real API server, to make it answer badly on request. */

import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';

/** What to do with a request: pass it on (`undefined`), never answer, end the connection, or answer with this status. */
export type Misbehaviour =
  | undefined
  | 'hang'
  | 'reset'
  | { readonly status: number; readonly retryAfter?: string; readonly body?: string };

export interface SeenRequest {
  readonly method: string;
  readonly url: URL;
  readonly watch: boolean;
  /** Whether the API server has begun to answer. */
  isAnswered: boolean;
}

export interface ApiProxy {
  /** A kubeconfig that leads through the proxy. */
  readonly kubeconfig: string;
  /** Every request so far. */
  readonly seen: SeenRequest[];
  /** Asked for every request. */
  misbehave: (request: SeenRequest) => Misbehaviour;
  /** From now on no byte of any answer that has begun is passed on, and none of them ends. */
  freezeAnswers(): void;
  /** Ends the connections of all answers that have begun. */
  endAnswers(): void;
  close(): Promise<void>;
}

export async function startApiProxy(kubeconfig: string): Promise<ApiProxy> {
  const config = parse(readFileSync(kubeconfig, 'utf8'));
  const { cluster } = config.clusters[0];
  const { user } = config.users[0];
  const decode = (text: string) => Buffer.from(text, 'base64');
  const agent = new Agent({
    keepAlive: true,
    ca: decode(cluster['certificate-authority-data']),
    cert: decode(user['client-certificate-data']),
    key: decode(user['client-key-data']),
  });
  const answers = new Set<IncomingMessage>();
  const seen: SeenRequest[] = [];

  const server = createServer((request, response) => {
    const url = new URL(`${cluster.server}${request.url}`);
    const watch = url.searchParams.get('watch') === 'true';
    const item = { method: request.method ?? '', url, watch, isAnswered: false };
    seen.push(item);
    const misbehaviour = proxy.misbehave(item);
    if (misbehaviour === 'hang') return;
    if (misbehaviour === 'reset') {
      request.socket.destroy();
      return;
    }
    if (misbehaviour !== undefined) {
      const { status, retryAfter, body = 'as told by the test' } = misbehaviour;
      response.writeHead(status, retryAfter === undefined ? {} : { 'retry-after': retryAfter }).end(body);
      return;
    }
    const { host: _, ...headers } = request.headers;
    const upstream = httpsRequest(url, { method: request.method, headers, agent }, (answer) => {
      item.isAnswered = true;
      answers.add(answer);
      answer.once('close', () => answers.delete(answer));
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      response.flushHeaders();
      answer.pipe(response);
    });
    upstream.on('error', () => response.destroy());
    response.once('close', () => upstream.destroy());
    request.pipe(upstream);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;

  const folder = await mkdtemp(join(tmpdir(), 'd4c-proxy-'));
  const file = join(folder, 'kubeconfig');
  const through = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: 'c', cluster: { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } },
    ],
    users: [{ name: 'u', user: {} }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  await writeFile(file, JSON.stringify(through));
  const proxy: ApiProxy = {
    kubeconfig: file,
    seen,
    misbehave: () => undefined,
    freezeAnswers() {
      for (const answer of answers) answer.unpipe().pause();
    },
    endAnswers() {
      for (const answer of answers) answer.destroy();
    },
    async close() {
      server.closeAllConnections();
      server.close();
      agent.destroy();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return proxy;
}
