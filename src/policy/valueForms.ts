/**
 * The form of the values of each condition. Source: policy-language.md section 2. Every expression here is
 * deterministic (the next character decides where a repetition ends), so each check is linear in the value.
 */

import type { FaultCode } from '../errors.ts';
import { normalizeImageName } from './image.ts';
import { quote } from './quote.ts';

/** What is wrong with one value. */
export interface Problem {
  readonly code: FaultCode;
  readonly message: string;
  readonly suggestion?: string;
}

export type CheckValue = (value: string) => Problem | undefined;

const host =
  /^(?:\[[a-fA-F0-9:]+\]|[a-zA-Z0-9]+(?:-+[a-zA-Z0-9]+)*(?:\.[a-zA-Z0-9]+(?:-+[a-zA-Z0-9]+)*)*)(?::[0-9]+)?$/;
const editorSegment = /^[a-z0-9]+(?:[._-][a-z0-9]+)*$/;
const pullableSegment = /^[a-z0-9]+(?:(?:__|[._]|-+)[a-z0-9]+)*$/;
const labelKey = /^(?:[A-Za-z0-9.-]+\/)?[A-Za-z0-9._-]+$/;
const labelValue = /^[A-Za-z0-9._-]*\*?$/;

/** Registry and repository: at least one `/`; no tag, digest or wildcard. */
export function imageFullName(value: string): Problem | undefined {
  const [registry = '', ...repository] = value.split('/');
  if (repository.length === 0) {
    const suggestion = normalizeImageName(withoutTag(value));
    return badForm(value, 'has no `/`; write registry and repository', suggestion);
  }
  if (host.test(registry) && repository.every((segment) => editorSegment.test(segment))) return undefined;
  if (normalizeImageName(value) !== undefined) return extension(value, 'is a name that runtimes can pull');
  const bare = withoutTag(value);
  if (bare !== value && normalizeImageName(bare) !== undefined) {
    return badForm(value, 'has a tag or digest; `containerImageTag` is the condition for tags', bare);
  }
  return badForm(value, 'is no registry and repository (lower case, no tag, no digest, no wildcard)');
}

/** The last segment of a repository. */
export function imageName(value: string): Problem | undefined {
  if (editorSegment.test(value)) return undefined;
  if (pullableSegment.test(value)) return extension(value, 'is a name that runtimes can pull');
  const last = withoutTag(value).split('/').at(-1) ?? '';
  if (value.includes('/')) {
    const reason = 'has a `/`; for a name with its registry write `containerImageFullName`';
    return badForm(value, reason, pullableSegment.test(last) ? last : undefined);
  }
  const reason = 'is no image name (lower case, no tag, no digest, no wildcard)';
  return badForm(value, reason, pullableSegment.test(last) && last !== value ? last : undefined);
}

/** `[prefix/]key:value`, with `*` only at the end of the value. */
export function podLabel(value: string): Problem | undefined {
  const colon = value.indexOf(':');
  if (colon < 0) {
    const anyValue = labelKey.test(value) ? `${value}:*` : undefined;
    return badForm(value, 'has no `:`; write `key:value`, or `key:*` for any value', anyValue);
  }
  const key = value.slice(0, colon);
  if (key.includes('*'))
    return badForm(value, 'has `*` in the key; it may stand at the end of the value only');
  if (!labelKey.test(key)) return badForm(value, 'does not begin with a label key (`[prefix/]key:`)');
  if (!labelValue.test(value.slice(colon + 1))) {
    return badForm(
      value,
      'does not end in a label value (letters, digits, `-`, `_`, `.`, and `*` at the end only)',
    );
  }
  return key.includes('_') ? extension(value, 'has `_` in the key') : undefined;
}

/** Any text; a `*` in it is literal. */
export function literal(value: string): Problem | undefined {
  return value.includes('*')
    ? literalWildcard(value, 'means itself here, as this condition has no wildcards')
    : undefined;
}

/** A name, or with a trailing `*` the beginning of one. */
export function namePrefix(value: string): Problem | undefined {
  const star = value.indexOf('*');
  const isTrailing = star === -1 || star === value.length - 1;
  return isTrailing ? undefined : literalWildcard(value, 'means itself unless it is the last character');
}

/** Absolute, without components that no resolved path has. */
export function absolutePath(value: string): Problem | undefined {
  if (value.startsWith('~')) return badForm(value, 'is not absolute: `~` is not expanded');
  if (!value.startsWith('/')) return badForm(value, 'is not absolute: a path begins with `/`');
  if (value === '/')
    return badForm(value, 'is the root directory; write `/*` for what is in it, `/**` for all below');
  const components = value.slice(1).split('/');
  if (components.at(-1) === '') {
    return badForm(value, 'ends in `/`; end it in `/*` for what is in the directory, in `/**` for all below');
  }
  if (components.includes('')) return badForm(value, 'has `//`', value.replace(/\/+/g, '/'));
  if (components.includes('.') || components.includes('..')) {
    return badForm(value, 'has `.` or `..` as a component; paths are resolved before they are compared');
  }
  if (components.some((component) => component.includes('**') && component !== '**')) {
    return badForm(value, 'has `**` that is not a whole component');
  }
  return undefined;
}

/** `*` and `**` as the whole last component; elsewhere with a warning. */
export function pathWildcards(value: string): Problem | undefined {
  const star = value.indexOf('*');
  if (star < 0 || /^\/\*\*?$/.test(value.slice(star - 1))) return undefined;
  return extension(value, 'has a wildcard that is not the whole last component');
}

/** Links on most images, with what they lead to. */
const links = new Map([
  ['/bin', '/usr/bin'],
  ['/sbin', '/usr/sbin'],
  ['/lib', '/usr/lib'],
  ['/lib64', '/usr/lib64'],
  ['/var/run', '/run'],
]);

export function symlinkedPath(value: string): Problem | undefined {
  for (const [link, target] of links) {
    if (value !== link && !value.startsWith(`${link}/`)) continue;
    return {
      code: 'POLICY_SYMLINKED_PATH',
      message: `${quote(value)} does not match where \`${link}\` is a link, as on most images; paths are compared resolved`,
      suggestion: target + value.slice(link.length),
    };
  }
  return undefined;
}

function withoutTag(value: string): string {
  const bare = value.split('@')[0] ?? '';
  const colon = bare.indexOf(':', bare.lastIndexOf('/') + 1);
  return colon < 0 ? bare : bare.slice(0, colon);
}

function badForm(value: string, reason: string, suggestion?: string): Problem {
  const message = `${quote(value)} ${reason}`;
  return { code: 'POLICY_VALUE_FORM', message, ...(suggestion !== undefined && { suggestion }) };
}

function extension(value: string, reason: string): Problem {
  return {
    code: 'POLICY_EXTENSION',
    message: `${quote(value)} ${reason}; Elastic's editor does not accept it`,
  };
}

function literalWildcard(value: string, reason: string): Problem {
  return { code: 'POLICY_LITERAL_WILDCARD', message: `\`*\` in ${quote(value)} ${reason}` };
}
