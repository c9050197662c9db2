/** The programs that tests and the demo need beyond Node, and their installation on Debian and Ubuntu. */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { isInstalled } from './programs.ts';

/** Program, and the Debian package that has it. */
export type Programs = Readonly<Record<string, string>>;

const containerPrograms: Programs = {
  runc: 'runc',
  containerd: 'containerd',
  ctr: 'containerd',
  busybox: 'busybox-static',
};

/** Whether a Debian package is installed; `busybox` may also be the dynamic one, which no container could run. */
function hasPackage(name: string): boolean {
  const { stdout } = spawnSync('dpkg-query', ['--status', name], { encoding: 'utf8' });
  return typeof stdout === 'string' && stdout.includes('install ok installed');
}

function isDebian(): boolean {
  try {
    return /^ID(_LIKE)?=.*(debian|ubuntu)/m.test(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return false;
  }
}

/** The Debian packages that are missing here. */
export function missingPackages(wanted: Programs = containerPrograms): string[] {
  const missing = Object.entries(wanted)
    .filter(
      ([program, name]) =>
        !isInstalled(program) || (isDebian() && name === 'busybox-static' && !hasPackage(name)),
    )
    .map(([, name]) => name);
  return [...new Set(missing)];
}

/**
 * Installs what is missing with apt-get, as root on Debian or Ubuntu, and says so. Elsewhere, and with `--no-install`
 * in `argv`, it says what is missing and what that means; the parts that need it skip themselves.
 */
export function installPackages(
  argv: readonly string[],
  say: (line: string) => void,
  wanted: Programs = containerPrograms,
): void {
  const missing = missingPackages(wanted);
  if (missing.length === 0) return;
  const names = missing.join(', ');
  if (argv.includes('--no-install')) {
    say(`missing: ${names} (not installed because of --no-install); parts with real containers are skipped`);
  } else if (process.getuid?.() !== 0 || !isDebian()) {
    say(`missing: ${names}; install them as root (Debian's names); parts with real containers are skipped`);
  } else {
    say(`installing ${names} with apt-get (refuse with --no-install)`);
    const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const options = { env: environment, encoding: 'utf8', timeout: 600_000 } as const;
    const update = spawnSync('apt-get', ['update', '-q'], options);
    const install = spawnSync(
      'apt-get',
      ['install', '-q', '-y', '--no-install-recommends', ...missing],
      options,
    );
    const failed = [update, install].find(({ status }) => status !== 0);
    if (failed !== undefined) say(`apt-get failed:\n${failed.stderr}`);
    const still = missingPackages(wanted);
    if (still.length > 0) say(`still missing: ${still.join(', ')}; parts with real containers are skipped`);
  }
}
