/** How much the tests of chaos and load do: a part of it in every run, all of it with `npm run test:chaos`. */

export interface Sizes {
  /** Seconds for which an agent is killed again and again. */
  readonly seconds: number;
  /** Containers that are started during a storm. */
  readonly starts: number;
  /** Permission events of the soak. */
  readonly events: number;
}

export const fullSizes: Sizes = { seconds: 60, starts: 200, events: 2_000_000 };
const usualSizes: Sizes = { seconds: 10, starts: 24, events: 60_000 };

/** For `test/chaos.ts`, which tells its tests this way. */
export const sizesVariable = 'D4C_GATE_TEST_SIZES';

const told = process.env[sizesVariable];
export const sizes: Sizes = told === undefined ? usualSizes : { ...usualSizes, ...JSON.parse(told) };

/** No process of a test that these sizes make longer lives longer than this. */
export const lifetimeMs = told === undefined ? 120_000 : 1_200_000;
