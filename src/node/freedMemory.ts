/**
 * Gives the memory that the agent freed back to the machine while it runs. Each container and each answer of a runtime takes buffers for a
 * moment, and V8's compilers take more; the C library keeps all of that in case it is wanted again.
 */

import { GateError } from '../errors.ts';
import { log } from '../log.ts';
import { giveMemoryBack } from '../native/binding.ts';

const everyMs = 1_000;

/** Begins. Does not keep the process alive. Without the addon an agent takes some MiB more, and works as well. */
export function giveMemoryBackRegularly(): { close(): void } {
  try {
    giveMemoryBack();
  } catch (error) {
    if (!(error instanceof GateError)) throw error;
    log.debug({ code: error.code, reason: error.message }, 'memory that was freed is kept');
    return { close: () => undefined };
  }
  const timer = setInterval(giveMemoryBack, everyMs).unref();
  return { close: () => clearInterval(timer) };
}
