/**
 * The webhook as an express application: which path does what, and how each request ends.
 *
 *   readJson -> readReview -> mutate | verify | judgeSession | judgePolicy | guard | advise -> answer -> count and log
 *
 * It owns no socket: `listen.ts` does. Every request gets exactly one JSON answer; an AdmissionReview when the
 * request's UID could be read. It never decides by default: what cannot be judged is answered with an HTTP
 * error, and the API server applies the `failurePolicy` that the operator chose (docs/adr/0002).
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import express, { type Express } from 'express';
import { type ErrorCode, GateError } from '../errors.ts';
import { log } from '../log.ts';
import { registry } from '../metrics.ts';
import { advise } from './advise.ts';
import type { Cluster } from './annotations.ts';
import { readJson } from './body.ts';
import { callerCheck } from './callers.ts';
import { type Deadline, deadlineOf, within } from './deadline.ts';
import type { Generations } from './generations.ts';
import { guard } from './guard.ts';
import type { Live } from './live.ts';
import { countRequest, decisionOf } from './metrics.ts';
import { judgeByMode } from './modes.ts';
import { mutate } from './mutate.ts';
import type { JustOptedIn } from './optIns.ts';
import { type Authoring, judgePolicy } from './policies.ts';
import { formatAnswer, formatProblem, type Review, type ReviewAnswer, readReview, uidOf } from './review.ts';
import { isSession, judgeSession } from './sessions.ts';
import { type Shedder, type ShedLimits, shedder } from './shed.ts';
import { verify } from './verify.ts';

/** What the application decides from. */
export interface Admission {
  readonly generations: Generations;
  readonly cluster: Cluster;
  /** The cluster as it is now; absent where there is none to ask. */
  readonly live?: Live;
  /** Where d4c-gate itself runs, which is never touched, as kube-system is not. */
  readonly ownNamespace?: string;
  /** Namespaces whose pods may not have been asked about before (default: none). */
  readonly justOptedIn?: JustOptedIn;
  /** Whether new requests should be sent here; false once the server drains. */
  readonly isReady: () => boolean;
  /** What new policies are held to (default: the strict language). */
  readonly authoring?: Authoring;
  /** What pods are answered while the generation has number 0, since no policy has been read yet (default: allow). */
  readonly beforeSync?: BeforeSync;
  /** Called after each denial has been answered, also of one that mode observe only reports; dry runs left out. Must return at once and not throw. */
  readonly onDenied?: (review: Review, message: string, isObserved: boolean) => void;
  /** Names of client certificates that may call the hooks (default: everyone may, without one). */
  readonly callers?: readonly string[];
  /** Past these, requests are answered with `OVERLOADED`. */
  readonly limits?: ShedLimits;
}

export const beforeSyncs = ['allow', 'deny'] as const;
export type BeforeSync = (typeof beforeSyncs)[number];

type Judge = (
  review: Review,
  admission: Admission,
  deadline: Deadline,
) => ReviewAnswer | Promise<ReviewAnswer>;

/** What judges the reviews of each path. */
const hooks: Readonly<Record<string, Judge>> = {
  '/mutate': (review, admission) =>
    judgeByMode(
      review,
      admission,
      () => answerBeforeSync(admission) ?? mutate(review, admission.generations, admission.cluster),
    ),
  '/validate': (review, admission) =>
    judgeByMode(
      review,
      admission,
      () =>
        answerBeforeSync(admission) ??
        (isSession(review)
          ? judgeSession(review, admission)
          : verify(review, admission.generations, admission.cluster, admission.justOptedIn)),
    ),
  '/policies': (review, { authoring = {} }) => judgePolicy(review, authoring),
  '/guard': guard,
  '/advise': (review, admission) => judgeByMode(review, admission, () => advise(review, admission)),
};

function answerBeforeSync({ generations, beforeSync = 'allow' }: Admission): ReviewAnswer | undefined {
  if (generations.current().number > 0) return undefined;
  const audit = { policies: 'not read yet' };
  if (beforeSync === 'allow') return { allowed: true, audit };
  const message = 'd4c-gate has not read the policies yet; try again in a moment';
  return { allowed: false, message, audit };
}

/** The HTTP status of each error that a request can cause; all others are 500 and answered without detail. */
const statusOf: Partial<Record<ErrorCode, number>> = {
  REVIEW_CONTENT_TYPE: 415,
  REVIEW_FORM: 400,
  REVIEW_INCOMPLETE: 408,
  REVIEW_LATE: 504,
  REVIEW_NOT_JSON: 400,
  REVIEW_OBJECT: 422,
  REVIEW_TOO_LARGE: 413,
  REVIEW_VERSION: 400,
  CALLER_REFUSED: 403,
  HTTP_METHOD: 405,
  HTTP_PATH: 404,
  OVERLOADED: 503,
  POD_UNREADABLE: 503,
};

export function createApp(admission: Admission): Express {
  const app = express().disable('x-powered-by');
  const { callers, limits } = admission;
  const shed = shedder(limits);
  const doors = [...(callers === undefined ? [] : [callerCheck(callers)]), shed.admit];
  for (const [path, judge] of Object.entries(hooks)) {
    app.post(path, ...doors, (request, response) =>
      answerReview(request, response, path.slice(1), judge, admission, shed),
    );
    app.all(path, refuseMethod('POST'));
  }
  app.get('/healthz', (_request, response) => send(response, 200, JSON.stringify({ status: 'ok' })));
  app.get('/readyz', (_request, response) => {
    const { number } = admission.generations.current();
    const ready = admission.isReady() && number > 0;
    send(
      response,
      ready ? 200 : 503,
      JSON.stringify({ status: ready ? 'ready' : number === 0 ? 'syncing' : 'draining', generation: number }),
    );
  });
  app.get('/metrics', async (_request, response) => {
    send(response, 200, await registry.metrics(), registry.contentType);
  });
  for (const path of ['/healthz', '/readyz', '/metrics']) app.all(path, refuseMethod('GET, HEAD'));
  app.use((_request, response) => {
    sendProblem(response, undefined, new GateError('HTTP_PATH', 'there is nothing at this path'));
  });
  // Four parameters: that is how express knows an error handler.
  app.use((error: unknown, _request: unknown, response: ServerResponse, _next: unknown) => {
    sendProblem(response, undefined, error);
  });
  return app;
}

async function answerReview(
  request: IncomingMessage,
  response: ServerResponse,
  hook: string,
  judge: Judge,
  admission: Admission,
  shed: Shedder,
): Promise<void> {
  const startedAt = performance.now();
  let uid: string | undefined;
  let review: Review | undefined;
  let answer: ReviewAnswer | undefined;
  try {
    const deadline = deadlineOf(request.url ?? '');
    const body = await readJson(request, {
      deadlineMs: deadline.leftMs(),
      hold: (bytes) => shed.hold(request, bytes),
    });
    uid = uidOf(body);
    review = readReview(body);
    answer = await within(deadline, judge(review, admission, deadline));
    send(response, 200, formatAnswer(review.uid, answer));
  } catch (error) {
    sendProblem(response, uid, error);
  }
  countRequest(hook, startedAt, review, answer);
  logAnswer(hook, review, answer);
  if (review === undefined || answer === undefined || review.dryRun) return;
  if (!answer.allowed) admission.onDenied?.(review, answer.message, false);
  else if (answer.observed !== undefined) admission.onDenied?.(review, answer.observed, true);
}

/** Never the object's content: names, and the reason of a denial, also of one that mode observe only reports. */
function logAnswer(hook: string, review: Review | undefined, answer: ReviewAnswer | undefined): void {
  const reason = answer?.allowed === false ? answer.message : answer?.observed;
  const level = reason === undefined ? 'debug' : 'info';
  if (!log.isLevelEnabled(level) || review === undefined) return;
  const { uid, operation, resource, namespace, name, dryRun } = review;
  const decision = decisionOf(answer);
  log[level](
    { hook, uid, operation, resource, namespace, name, dryRun, decision, reason },
    'review answered',
  );
}

function refuseMethod(allow: string): (request: unknown, response: ServerResponse) => void {
  return (_request, response) => {
    response.setHeader('allow', allow);
    sendProblem(response, undefined, new GateError('HTTP_METHOD', `only ${allow} is understood here`));
  };
}

function sendProblem(response: ServerResponse, uid: string | undefined, error: unknown): void {
  const status = error instanceof GateError ? statusOf[error.code] : undefined;
  if (error instanceof GateError && status !== undefined) {
    // Nobody waits for the rest of a body that is late.
    if (error.code === 'REVIEW_INCOMPLETE') response.setHeader('connection', 'close');
    log.debug({ code: error.code, uid }, 'request refused');
    send(response, status, formatProblem(uid, status, error.code, error.message));
    return;
  }
  log.error({ err: error, uid }, 'a request failed; please report it');
  send(
    response,
    500,
    formatProblem(uid, 500, 'ADMISSION_FAILED', 'the request could not be judged; see the log'),
  );
}

function send(response: ServerResponse, status: number, text: string, type = 'application/json'): void {
  if (response.headersSent || response.destroyed) return;
  const length = Buffer.byteLength(text);
  response.writeHead(status, { 'content-type': type, 'content-length': length });
  response.end(response.req.method === 'HEAD' ? undefined : text);
}
