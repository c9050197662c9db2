/** The AdmissionReview of `admission.k8s.io/v1`: what is read of a request, and the answers. Trusts nothing it reads. */

import { type ErrorCode, GateError } from '../errors.ts';

/** A JSON object as `JSON.parse` makes it. Fields are looked up by fixed names only and never copied elsewhere. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** What is used of a request. Texts that are absent are ''. */
export interface Review {
  readonly uid: string;
  readonly operation: string;
  /** `pods`, `pods/exec`, or `deployments.apps` for resources outside of the core group. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly dryRun: boolean;
  /** `null` on DELETE; its form is checked by who needs it. */
  readonly object: unknown;
  readonly oldObject: unknown;
}

export interface PatchOperation {
  readonly op: 'add' | 'replace' | 'remove';
  /** JSON Pointer. */
  readonly path: string;
  readonly value?: unknown;
}

/** Small facts for the API server's audit log, which puts the webhook's name in front of each key. */
export type AuditAnnotations = Readonly<Record<string, string>>;

export type ReviewAnswer = {
  readonly audit?: AuditAnnotations;
  /** What whoever asked should know, whatever the answer is. */
  readonly warnings?: readonly string[];
} & (
  | {
      readonly allowed: true;
      readonly patch?: readonly PatchOperation[];
      /** Why it would be refused, if the namespace were not in mode observe. */
      readonly observed?: string;
    }
  | { readonly allowed: false; readonly message: string }
);

const version = 'admission.k8s.io/v1';
/** Kubernetes UIDs have 36 characters; whatever is longer is not one and is not sent back. */
const maxUidLength = 128;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The request's UID, also of a review that is refused later; `undefined` when there is none. */
export function uidOf(body: unknown): string | undefined {
  const request = isJsonObject(body) ? body.request : undefined;
  const uid = isJsonObject(request) ? request.uid : undefined;
  return typeof uid === 'string' && uid !== '' && uid.length <= maxUidLength ? uid : undefined;
}

/** @throws REVIEW_FORM @throws REVIEW_VERSION */
export function readReview(body: unknown): Review {
  if (!isJsonObject(body)) throw new GateError('REVIEW_FORM', 'the body is not a JSON object');
  if (body.kind !== 'AdmissionReview' || !textOf(body.apiVersion).startsWith('admission.k8s.io/')) {
    throw new GateError('REVIEW_FORM', `the body is not an AdmissionReview of \`${version}\``);
  }
  if (body.apiVersion !== version) {
    throw new GateError(
      'REVIEW_VERSION',
      `only \`${version}\` is understood; set \`admissionReviewVersions: ["v1"]\` in the webhook configuration`,
    );
  }
  const { request } = body;
  const uid = uidOf(body);
  if (!isJsonObject(request)) throw new GateError('REVIEW_FORM', '`request` is not an object');
  if (uid === undefined) throw new GateError('REVIEW_FORM', '`request.uid` is not the UID of a request');
  return {
    uid,
    operation: textOf(request.operation),
    resource: resourceOf(request),
    namespace: textOf(request.namespace),
    name: textOf(request.name),
    dryRun: request.dryRun === true,
    object: request.object,
    oldObject: request.oldObject,
  };
}

/** Whether the request writes an object, rather than deleting it or connecting to it. */
export function isWrite({ operation }: Review): boolean {
  return operation === 'CREATE' || operation === 'UPDATE';
}

/** The text of an AdmissionReview that answers `uid`. A denial is a success of the webhook: it goes out with HTTP 200. */
export function formatAnswer(uid: string, answer: ReviewAnswer): string {
  return formatReview({
    uid,
    allowed: answer.allowed,
    ...(answer.allowed ? patchOf(answer.patch) : statusOf(403, 'Forbidden', answer.message)),
    ...(answer.audit === undefined ? {} : { auditAnnotations: answer.audit }),
    ...(answer.warnings === undefined || answer.warnings.length === 0 ? {} : { warnings: answer.warnings }),
  });
}

/**
 * The text of an answer that says that the request could not be judged: an AdmissionReview when the UID is
 * known, a plain `{ code, message }` else. It goes out with `httpStatus`, 400 or above, so that the API server
 * takes the call as failed and applies the `failurePolicy` that the operator chose.
 */
export function formatProblem(
  uid: string | undefined,
  httpStatus: number,
  code: ErrorCode,
  message: string,
): string {
  if (uid === undefined) return JSON.stringify({ code, message });
  return formatReview({ uid, allowed: false, ...statusOf(httpStatus, code, `${message} (${code})`) });
}

function formatReview(response: JsonObject): string {
  return JSON.stringify({ apiVersion: version, kind: 'AdmissionReview', response });
}

function patchOf(patch: readonly PatchOperation[] = []): JsonObject {
  if (patch.length === 0) return {};
  return { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') };
}

function statusOf(code: number, reason: string, message: string): JsonObject {
  return { status: { code, reason, message } };
}

function resourceOf(request: JsonObject): string {
  const resource = isJsonObject(request.resource) ? request.resource : {};
  const [name, group, subresource] = [resource.resource, resource.group, request.subResource].map(textOf);
  return `${name}${group === '' ? '' : `.${group}`}${subresource === '' ? '' : `/${subresource}`}`;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
