/** What the Secret of the webhook holds, as a checked state: two certificate authorities and the leaf that is served. */

import { type CertificatePair, isIssuedBy, readPair } from '../certificates/pair.ts';

/** Everything in it is whole: keys fit, authorities are authorities, and one of them signed the leaf. */
export interface CertificateState {
  /** At most two, the one that ends first before the other. */
  readonly authorities: readonly CertificatePair[];
  readonly leaf: CertificatePair | undefined;
  /** What was there and could not be used, one line each. */
  readonly problems: readonly string[];
}

type Data = Readonly<Record<string, string>>;

const authorityNames = ['ca-1', 'ca-2'] as const;

/** `data` of a Secret, in base64. Never throws: what cannot be used is left out and named in `problems`. */
export function readState(data: Data = {}): CertificateState {
  const problems: string[] = [];
  const read = (name: string): CertificatePair | undefined => {
    const [cert, key] = [data[`${name}.crt`] ?? '', data[`${name}.key`] ?? ''];
    if (cert === '' && key === '') return undefined;
    try {
      return readPair(decode(cert), decode(key));
    } catch (error) {
      problems.push(`\`${name}\`: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  };

  const authorities: CertificatePair[] = [];
  for (const name of authorityNames) {
    const pair = read(name);
    if (pair === undefined) continue;
    if (!pair.certificate.ca || !isIssuedBy(pair.certificate, pair.certificate)) {
      problems.push(`\`${name}\`: not a self-signed certificate authority`);
    } else if (authorities.some((other) => isSame(other, pair))) {
      problems.push(`\`${name}\`: the same as the other authority`);
    } else {
      authorities.push(pair);
    }
  }
  authorities.sort((a, b) => a.notAfter - b.notAfter);

  const leaf = read('tls');
  if (leaf !== undefined && issuerOf(leaf, authorities) === undefined) {
    problems.push('`tls`: signed by neither of the two authorities');
    return { authorities, leaf: undefined, problems };
  }
  return { authorities, leaf, problems };
}

/** The inverse of `readState`. The leaf is left out when there is none. */
export function writeState({ authorities, leaf }: Omit<CertificateState, 'problems'>): Data {
  const data: Record<string, string> = {};
  const write = (name: string, pair: CertificatePair | undefined) => {
    if (pair === undefined) return;
    data[`${name}.crt`] = encode(pair.cert);
    data[`${name}.key`] = encode(pair.key);
  };
  for (const [index, name] of authorityNames.entries()) write(name, authorities[index]);
  write('tls', leaf);
  return data;
}

/** Which of the authorities signed the leaf. */
export function issuerOf(
  leaf: CertificatePair,
  authorities: readonly CertificatePair[],
): CertificatePair | undefined {
  return authorities.find((authority) => isIssuedBy(leaf.certificate, authority.certificate));
}

const isSame = (a: CertificatePair, b: CertificatePair) =>
  a.certificate.fingerprint256 === b.certificate.fingerprint256;
const decode = (text: string) => Buffer.from(text, 'base64').toString('latin1');
const encode = (text: string) => Buffer.from(text, 'latin1').toString('base64');
