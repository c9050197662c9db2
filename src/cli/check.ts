/** `d4c-gate check`: every fault of policy files, for people, editors and pipelines. */

import { styleText } from 'node:util';
import { Option } from 'commander';
import { environment } from '../config.ts';
import { GateError } from '../errors.ts';
import { readPolicy } from '../policy/read.ts';
import type { Severity } from '../policy/types.ts';
import type { ValidateOptions } from '../policy/validate.ts';
import { type FileFault, formatFault, idFaults, unreadFault } from '../sources/faults.ts';
import { maxPolicyBytes, type PolicyText, policyText, readPolicyFiles } from '../sources/files.ts';
import type { AddCommand, ExitCode } from './program.ts';

interface CheckFlags {
  readonly lenient?: boolean;
  readonly clusterName?: string;
  readonly output: 'text' | 'json';
}

/** The faults of one file, in the order of their positions. */
interface CheckedFile {
  readonly file: string;
  readonly faults: readonly FileFault[];
}

const help = `
A directory stands for its *.yaml, *.yml and *.json files, not for those in its subdirectories;
- is standard input. Elastic agent policies, Fleet package policies and ContainerPolicy resources
are taken as they are.

Exit code: 0 when no fault is an error (warnings are fine), 1 when one is, 2 when a file cannot
be read or a directory holds no policy.`;

export const checkCommand: AddCommand = (program, done) => {
  program
    .command('check')
    .description('report every fault of policy files')
    .argument('<file|dir|-...>', 'policies')
    .option('--lenient', "accept what Elastic's policy editor accepts")
    .option('--cluster-name <name>', 'the configured cluster name, for policies that use one')
    .addOption(new Option('--output <form>', 'how to print').choices(['text', 'json']).default('text'))
    .addHelpText('after', help)
    .action(async (paths: readonly string[], flags: CheckFlags) => done(await runCheck(paths, flags)));
};

/** What can be read is reported, whatever else cannot. @throws FILE_UNREADABLE */
async function runCheck(paths: readonly string[], flags: CheckFlags): Promise<ExitCode> {
  const options = { mode: flags.lenient ? 'lenient' : 'strict', clusterName: flags.clusterName } as const;
  const checked: CheckedFile[] = [];
  const reasons: string[] = [];
  for (const path of new Set(paths)) {
    try {
      checked.push(...(await checkPath(path, options)));
    } catch (error) {
      if (!(error instanceof GateError)) throw error;
      reasons.push(error.message);
    }
  }
  process.stdout.write(flags.output === 'json' ? renderJson(checked) : renderText(checked));
  if (flags.output === 'text' && checked.length > 0) process.stderr.write(`${summaryOf(checked)}\n`);
  if (reasons.length > 0) throw new GateError('FILE_UNREADABLE', reasons.join('; '));
  return countOf(checked, 'error') > 0 ? 1 : 0;
}

async function checkPath(path: string, options: ValidateOptions): Promise<CheckedFile[]> {
  if (path === '-') return [checkFile(await readStandardInput(), options)];
  const files = await readPolicyFiles(path);
  if (files.length === 0) {
    throw new GateError(
      'FILE_UNREADABLE',
      `no policy in \`${path}\`: it has no *.yaml, *.yml or *.json files`,
    );
  }
  // A file that is named by itself may have any name; in a directory the names are the policies' IDs.
  const isDirectory = files.some(({ file }) => file !== path);
  const idFaultsFound = isDirectory ? idFaults(files) : [];
  return files.map((file) => {
    const { faults } = checkFile(file, options);
    return {
      file: file.file,
      faults: [...idFaultsFound.filter((fault) => fault.file === file.file), ...faults],
    };
  });
}

function checkFile(source: { readonly file: string } & PolicyText, options: ValidateOptions): CheckedFile {
  const { file } = source;
  if (source.text === null) return { file, faults: [unreadFault(file, source.reason)] };
  return { file, faults: readPolicy(source.text, options).faults.map((fault) => ({ file, fault })) };
}

async function readStandardInput(): Promise<{ file: string } & PolicyText> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin) {
    chunks.push(chunk);
    size += chunk.length;
    // An endless input must end somewhere; the text is refused for its length anyway.
    if (size > maxPolicyBytes) break;
  }
  return { file: '<stdin>', ...policyText(Buffer.concat(chunks)) };
}

function renderText(checked: readonly CheckedFile[]): string {
  const colours = process.stdout.isTTY && !environment.noColor;
  const lines = checked
    .flatMap(({ faults }) => faults)
    .map((fault) => {
      const line = formatFault(fault);
      return colours ? colour(line, fault) : line;
    });
  return lines.map((line) => `${line}\n`).join('');
}

function colour(line: string, { fault: { severity } }: FileFault): string {
  const word = ` ${severity}: `;
  const at = line.indexOf(word);
  const painted = styleText(severity === 'error' ? 'red' : 'yellow', word, { validateStream: false });
  return (
    styleText('bold', line.slice(0, at), { validateStream: false }) + painted + line.slice(at + word.length)
  );
}

function renderJson(checked: readonly CheckedFile[]): string {
  const results = checked.map(({ file, faults }) => ({ file, faults: faults.map(({ fault }) => fault) }));
  return `${JSON.stringify(results, ['file', 'faults', 'code', 'severity', 'message', 'line', 'column', 'path', 'suggestion'], 2)}\n`;
}

function summaryOf(checked: readonly CheckedFile[]): string {
  const errors = countOf(checked, 'error');
  const warnings = countOf(checked, 'warning');
  return [counted(checked.length, 'file'), counted(errors, 'error'), counted(warnings, 'warning')].join(', ');
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function countOf(checked: readonly CheckedFile[], severity: Severity): number {
  return checked.flatMap(({ faults }) => faults).filter(({ fault }) => fault.severity === severity).length;
}
