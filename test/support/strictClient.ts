/**
 * Calls a webhook as an API server does: verifies the chain, the name and the time of every connection, keeps
 * connections for as long as it trusts the same `caBundle`, and starts afresh when that changes.
 */

import { Agent, request } from 'node:https';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';

export interface StrictClientOptions {
  readonly servername: string;
  readonly ports: readonly number[];
  /** The `caBundle` that this client knows of now, PEM. */
  readonly bundle: () => string;
  /** Milliseconds since 1970; besides the machine's clock, which OpenSSL compares with. */
  readonly now: () => number;
  /** One request in so many opens a connection of its own, as after a restart of the API server. */
  readonly freshEvery: number;
}

export interface LoadResult {
  readonly sent: number;
  readonly handshakes: number;
  /** One line for each request that had no answer with status 200. */
  readonly failed: readonly string[];
  readonly seconds: number;
}

const maxUnderWay = 256;

/**
 * Sends `perSecond` requests in each second, whether or not earlier ones have been answered, until `stop`; fewer while 256 are
 * under way.
 */
export function startLoad(
  options: StrictClientOptions,
  perSecond: number,
): {
  /** Resolves when what has been sent so far has ended. */
  caughtUp(): Promise<unknown>;
  stop(): Promise<LoadResult>;
} {
  const { servername, ports, bundle, now, freshEvery } = options;
  const failed: string[] = [];
  let sent = 0;
  let handshakes = 0;
  let agent = { ca: '', agent: new Agent() };

  const tls = (ca: string) => ({
    ca,
    servername,
    minVersion: 'TLSv1.3' as const,
    // A resumed session is not verified again.
    maxCachedSessions: 0,
    checkServerIdentity(host: string, certificate: PeerCertificate) {
      handshakes += 1;
      if (Date.parse(certificate.valid_to) <= now()) return new Error(`expired on ${certificate.valid_to}`);
      return checkServerIdentity(host, certificate);
    },
  });

  const agentNow = (): Agent => {
    const ca = bundle();
    if (ca === agent.ca) return agent.agent;
    const last = agent.agent;
    agent = { ca, agent: new Agent({ ...tls(ca), keepAlive: true, maxSockets: 20 }) };
    // What is under way on the old connections may end.
    setTimeout(() => last.destroy(), 2_000).unref();
    return agent.agent;
  };

  function send(index: number): Promise<void> {
    const isFresh = index % freshEvery === 0;
    const connection = isFresh ? { agent: false as const, ...tls(bundle()) } : { agent: agentNow() };
    return new Promise((resolve) => {
      const fail = (reason: string) => {
        failed.push(`request ${index}: ${reason}`);
        resolve();
      };
      const port = ports[index % ports.length];
      const call = request(
        { host: '127.0.0.1', port, path: '/', timeout: 10_000, ...connection },
        (answer) => {
          answer
            .on('error', (error) => fail(error.message))
            .on('end', resolve)
            .resume();
          if (answer.statusCode !== 200) failed.push(`request ${index}: ${answer.statusCode}`);
        },
      );
      call.on('timeout', () => call.destroy(new Error('no answer in 10 s')));
      call.on('error', (error: NodeJS.ErrnoException) => fail(`${error.code ?? ''} ${error.message}`));
      call.end();
    });
  }

  const started = performance.now();
  const underWay = new Set<Promise<void>>();
  let skipped = 0;
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - started) / 1000) * perSecond);
    // A machine that cannot keep up must not be asked for ever more: what is under way would take ever longer.
    for (; sent + skipped < due; sent += 1) {
      if (underWay.size >= maxUnderWay) {
        skipped = due - sent;
        return;
      }
      const call = send(sent).finally(() => underWay.delete(call));
      underWay.add(call);
    }
  }, 5);
  return {
    caughtUp: () => Promise.all(underWay),
    async stop() {
      clearInterval(timer);
      const seconds = (performance.now() - started) / 1000;
      await Promise.all(underWay);
      agent.agent.destroy();
      return { sent, handshakes, failed, seconds };
    },
  };
}
