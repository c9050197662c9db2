/** The servers that are measured, each a process of its own, all with the same certificate. */

import { readFileSync } from 'node:fs';
import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Daemon, startDaemon } from '../../test/support/daemon.ts';
import { freePort } from '../../test/support/ports.ts';
import { must } from '../../test/support/programs.ts';
import { serveStores } from '../pepr/store.ts';
import { writePolicies } from './input.ts';
import { ask, type Target } from './load.ts';

export interface Measured {
  readonly target: Target;
  readonly pid: number;
  stop(): Promise<unknown>;
}

const root = join(import.meta.dirname, '..', '..');
const peprFolder = join(root, 'bench/pepr');
/** Ten thousand policies take some seconds to read. */
const readyMs = 60_000;

/** As users have it: compiled. From the sources Node would first load a compiler, which stays in memory. */
const main = join(root, 'dist/main.js');
/** As its first line has them: `#!/usr/bin/env -S node FLAGS`. */
const nodeFlags = (): string[] => readFileSync(main, 'utf8').split('\n', 1)[0]?.split(' ').slice(3) ?? [];

const certificates = (folder: string): string => join(folder, 'certs');

/** Compiles d4c-gate as it is now. */
export async function buildD4cGate(): Promise<void> {
  await must('npm', ['run', 'build'], { cwd: root, limitMs: 120_000 });
}

/** d4c-gate with `count` policies. The first one started makes the certificate of all. */
export async function startD4cGate(folder: string, count: number, body: string): Promise<Measured> {
  const policies = await writePolicies(folder, count);
  const flags = ['--policies', policies, '--listen', '127.0.0.1:0', '--dev-certs', '--certs-dir'];
  const args = [...nodeFlags(), main, 'serve', ...flags, certificates(folder)];
  const daemon = await startDaemon(process.execPath, args, /listening on https/, readyMs);
  return measured(daemon, /listening on https:\/\/127\.0\.0\.1:(\d+)/, body);
}

/** An express application that reads the review and answers `answer`, whatever the review says. */
export async function startExpress(folder: string, answer: string, body: string): Promise<Measured> {
  const args = [join(import.meta.dirname, 'express.ts'), ...tlsFiles(folder), answer];
  const daemon = await startDaemon(process.execPath, args, /listening on \d+/);
  return measured(daemon, /listening on (\d+)/, body);
}

/** Why Pepr cannot be measured. Installs it, in a folder of its own, where it is not there yet. */
export async function peprMissing(): Promise<string | undefined> {
  try {
    await access(join(peprFolder, 'node_modules/pepr/package.json'));
    return undefined;
  } catch {
    // It is fetched below.
  }
  try {
    await must('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
      cwd: peprFolder,
      limitMs: 300_000,
    });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Pepr's admission controller with `count` bindings. */
export async function startPepr(folder: string, count: number, body: string): Promise<Measured> {
  const stores = await serveStores();
  const [cert, key] = tlsFiles(folder);
  const kubeconfig = join(folder, 'pepr.kubeconfig.json');
  await writeKubeconfig(kubeconfig, stores.url);
  const port = await freePort();
  // Without its two lines of log for each request, which d4c-gate does not write either.
  const settings = {
    KUBECONFIG: kubeconfig,
    SSL_CERT_PATH: cert,
    SSL_KEY_PATH: key,
    PEPR_API_PATH: 'bench',
    LOG_LEVEL: 'error',
  };
  const variables = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  const args = [...variables, process.execPath, join(peprFolder, 'module.js'), String(count), String(port)];
  let daemon: Daemon | undefined;
  const stop = async (): Promise<void> => {
    await daemon?.stop();
    stores.close();
  };
  try {
    daemon = await startDaemon('env', args, /^started$/, readyMs);
    const target = { port, path: '/mutate/bench', body };
    await answers(target);
    return { target, pid: daemon.pid, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Pepr answers 404 until it has read its stores, a random time of up to 3 seconds after its start. */
async function answers(target: Target): Promise<void> {
  const deadline = performance.now() + readyMs;
  for (;;) {
    try {
      await ask(target);
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(100);
    }
  }
}

function measured(daemon: Daemon, printed: RegExp, body: string): Measured {
  const [port] = daemon.lines.flatMap((line) => printed.exec(line)?.slice(1) ?? []);
  return { target: { port: Number(port), path: '/mutate', body }, pid: daemon.pid, stop: daemon.stop };
}

function tlsFiles(folder: string): [cert: string, key: string] {
  return [join(certificates(folder), 'tls.crt'), join(certificates(folder), 'tls.key')];
}

async function writeKubeconfig(file: string, server: string): Promise<void> {
  const name = 'bench';
  const contexts = [{ name, context: { cluster: name, user: name } }];
  // Its client speaks plain HTTP only to servers that it need not verify.
  const clusters = [{ name, cluster: { server, 'insecure-skip-tls-verify': true } }];
  const users = [{ name, user: {} }];
  const config = { apiVersion: 'v1', kind: 'Config', contexts, clusters, users, 'current-context': name };
  await writeFile(file, JSON.stringify(config));
}
