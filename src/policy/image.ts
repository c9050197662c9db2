/**
 * Image references, normalised as container runtimes do. The grammar and the rule for the first component
 * are those of github.com/distribution/reference, which Docker, containerd and the kubelet use.
 */

import type { ImageReference } from './types.ts';

/** Longer texts are no references. Twice what the longest pullable reference with a sane host name takes. */
export const maxReferenceLength = 4096;

const maxRepositoryLength = 255;
const defaultRegistry = 'docker.io';
const legacyRegistry = 'index.docker.io';

// Each expression is deterministic: where a repetition ends is decided by the next character, so that
// matching is linear also on text made to hurt.
const pathComponent = /^[a-z0-9]+(?:(?:__|[._]|-+)[a-z0-9]+)*$/;
const hostLabel = /^[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?$/;
const ipv6Host = /^\[[a-fA-F0-9:]+\]$/;
const port = /^[0-9]+$/;
const tagForm = /^\w[\w.-]{0,127}$/;
const imageId = /^[a-f0-9]{64}$/;
const digestForm = /^(?:sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128})$/;

/**
 * The reference in normal form: `nginx` is `docker.io/library/nginx` with the tag `latest`. With a digest and
 * no tag the tag is `null`. `undefined` when a runtime would not take the text for a reference: malformed,
 * longer than 4096 characters, or a bare image ID. Linear in the text.
 */
export function parseImage(text: string): ImageReference | undefined {
  // An image ID reads as a name or as a name and a tag, but it names no repository.
  if (text.length > maxReferenceLength || digestForm.test(text)) return undefined;
  const at = text.indexOf('@');
  const digest = at < 0 ? null : text.slice(at + 1);
  if (digest !== null && !digestForm.test(digest)) return undefined;

  const tagged = at < 0 ? text : text.slice(0, at);
  const colon = tagged.indexOf(':', tagged.lastIndexOf('/') + 1);
  const tag = colon < 0 ? null : tagged.slice(colon + 1);
  if (tag !== null && !tagForm.test(tag)) return undefined;

  const fullName = normalizeImageName(colon < 0 ? tagged : tagged.slice(0, colon));
  if (fullName === undefined) return undefined;
  const name = fullName.slice(fullName.lastIndexOf('/') + 1);
  return { fullName, name, tag: tag ?? (digest === null ? 'latest' : null), digest };
}

/**
 * Registry and repository in normal form, of a name without tag and digest: `nginx`, `docker.io/nginx` and
 * `index.docker.io/library/nginx` all give `docker.io/library/nginx`. `undefined` when it is no such name.
 */
export function normalizeImageName(text: string): string | undefined {
  if (text.length > maxReferenceLength || imageId.test(text)) return undefined;
  const slash = text.indexOf('/');
  const first = text.slice(0, Math.max(slash, 0));
  const hasRegistry = isRegistry(first);
  if (hasRegistry && !isHostAndPort(first)) return undefined;

  const registry = !hasRegistry || first === legacyRegistry ? defaultRegistry : first;
  const path = hasRegistry ? text.slice(slash + 1) : text;
  const repository = registry === defaultRegistry && !path.includes('/') ? `library/${path}` : path;
  if (repository.length > maxRepositoryLength) return undefined;
  if (!repository.split('/').every((component) => pathComponent.test(component))) return undefined;
  return `${registry}/${repository}`;
}

/** Whether the component before the first slash names a registry and not a part of the repository. */
function isRegistry(first: string): boolean {
  return first === 'localhost' || /[.:]/.test(first) || first !== first.toLowerCase();
}

function isHostAndPort(text: string): boolean {
  const colon = text.indexOf(':', text.lastIndexOf(']') + 1);
  if (colon >= 0 && !port.test(text.slice(colon + 1))) return false;
  const host = colon < 0 ? text : text.slice(0, colon);
  return ipv6Host.test(host) || host.split('.').every((label) => hostLabel.test(label));
}
