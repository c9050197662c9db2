/** Every error and fault code of d4c-gate. Codes are API: `docs/errors.md` says the same, and a test compares both ways. */

/** Severity of a fault in strict mode (what the guide says) and in lenient mode (what Elastic's editor accepts). */
export const faultCodes = {
  POLICY_SYNTAX: { strict: 'error', lenient: 'error' },
  POLICY_EMPTY: { strict: 'error', lenient: 'error' },
  POLICY_SECTION_INCOMPLETE: { strict: 'error', lenient: 'error' },
  POLICY_UNKNOWN_KEY: { strict: 'error', lenient: 'warning' },
  POLICY_VALUE_TYPE: { strict: 'error', lenient: 'error' },
  POLICY_VALUE_EMPTY: { strict: 'error', lenient: 'error' },
  POLICY_VALUE_TOO_LONG: { strict: 'error', lenient: 'error' },
  POLICY_VALUE_FORM: { strict: 'error', lenient: 'error' },
  POLICY_UNKNOWN_OPERATION: { strict: 'error', lenient: 'error' },
  POLICY_UNKNOWN_ACTION: { strict: 'error', lenient: 'error' },
  POLICY_SELECTOR_NAME: { strict: 'error', lenient: 'warning' },
  POLICY_SELECTOR_DUPLICATE: { strict: 'error', lenient: 'warning' },
  POLICY_SELECTOR_EMPTY: { strict: 'error', lenient: 'error' },
  POLICY_OPERATION_MISSING: { strict: 'error', lenient: 'warning' },
  POLICY_FIM_PATH_MISSING: { strict: 'error', lenient: 'warning' },
  POLICY_BLOCK_WITHOUT_PATH: { strict: 'error', lenient: 'error' },
  POLICY_BLOCK_WITHOUT_ALERT: { strict: 'error', lenient: 'error' },
  POLICY_UNKNOWN_SELECTOR: { strict: 'error', lenient: 'error' },
  POLICY_RESPONSE_INCOMPLETE: { strict: 'error', lenient: 'error' },
  POLICY_TOO_MANY: { strict: 'error', lenient: 'error' },
  POLICY_EXCLUSIVE: { strict: 'error', lenient: 'error' },
  POLICY_EXTENSION: { strict: 'warning', lenient: 'warning' },
  POLICY_SELECTOR_UNUSED: { strict: 'warning', lenient: 'warning' },
  POLICY_NEVER_FIRES: { strict: 'warning', lenient: 'warning' },
  POLICY_BLOCK_EVERYTHING: { strict: 'warning', lenient: 'warning' },
  POLICY_LITERAL_WILDCARD: { strict: 'warning', lenient: 'warning' },
  POLICY_SYMLINKED_PATH: { strict: 'warning', lenient: 'warning' },
  POLICY_FLAG_FALSE: { strict: 'warning', lenient: 'warning' },
  POLICY_NAME_AND_EXECUTABLE: { strict: 'warning', lenient: 'warning' },
  POLICY_NOT_BLOCKABLE: { strict: 'warning', lenient: 'warning' },
  POLICY_CLUSTER_NAME_UNSET: { strict: 'warning', lenient: 'warning' },
} as const;

export type FaultCode = keyof typeof faultCodes;

/** Faults of a file rather than of what it says. All are errors in both modes. */
export const sourceFaultCodes = {
  POLICY_ID_DUPLICATE: 'two files of a directory, or a file and a ContainerPolicy, have the same policy ID',
  POLICY_ID_FORM: 'the file name cannot be a policy ID',
} as const;

export type SourceFaultCode = keyof typeof sourceFaultCodes;

/** What can go wrong outside of a policy's text, each in a sentence. */
export const errorCodes = {
  USAGE: 'the command line, the environment or a file that it names is not understood',
  FILE_UNREADABLE: 'a file or directory cannot be read',
  POLICIES_INVALID: 'a policy has faults, so there is no first generation to run with',
  KUBERNETES_CONFIG: 'there is no kubeconfig or service account that can be used',
  KUBERNETES_UNREACHABLE: 'the API server gave no answer',
  KUBERNETES_REFUSED: 'the API server answered with an error',
  OVERLOADED: 'an admission request came while too many others were worked on',
  OUTPUT_UNUSABLE: 'documents cannot be written where they should go',
  ADMISSION_FAILED: 'an admission request could not be judged because of an error in d4c-gate',
  CALLER_REFUSED: 'a hook was called without a client certificate that is listed',
  HTTP_FORM: 'a request is not HTTP/1.1',
  HTTP_METHOD: 'the path does not understand this HTTP method',
  HTTP_PATH: 'there is nothing at this path',
  HOST_ROOT_UNUSABLE: 'the host’s root filesystem is not seen as the gate needs it',
  LISTEN_FAILED: 'the address cannot be listened on',
  POD_UNREADABLE: 'whether a session is refused depends on a pod that cannot be read',
  REVIEW_CONTENT_TYPE: 'an admission request has another content type or encoding than JSON',
  REVIEW_FORM: 'an admission request is not an AdmissionReview',
  REVIEW_INCOMPLETE: 'the body of an admission request did not arrive as a whole',
  REVIEW_LATE: 'an admission request could not be judged within the time that the API server waits',
  REVIEW_NOT_JSON: 'the body of an admission request is not JSON',
  REVIEW_OBJECT: 'the object of an admission request does not have the form of its kind',
  REVIEW_TOO_LARGE: 'the body of an admission request is too large',
  REVIEW_VERSION: 'an AdmissionReview has another version than v1',
  TLS_UNUSABLE: 'a certificate and key cannot be used',
  GATE_NOT_BUILT: 'the programs in C++ are not there',
  GATE_NOT_PERMITTED: 'the kernel does not let this process gate anything',
  GATE_TABLE_INVALID: 'a decision table is damaged',
  GATE_UNSUPPORTED: 'this kernel has no fanotify, or a limit was met before the gate was open',
  KEEPER_FAILED: 'the keeper could not start, or ended before it had a gate',
  KEEPER_TAKEN: 'another agent has taken the keeper over',
  KEEPER_UNREACHABLE: 'no keeper answers at the socket',
  KEEPER_VERSION: 'agent and keeper are of versions that do not understand each other',
} as const;

export type ErrorCode = keyof typeof errorCodes;

/** An error with a stable code. The message is one line: what, where and what to do. */
export class GateError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'GateError';
    this.code = code;
  }
}
