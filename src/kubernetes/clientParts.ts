/**
 * What is used of @kubernetes/client-node, and no more of it. Its main file loads a class for each type of the whole API of
 * Kubernetes, and so does `config.js`, which needs two functions of it: 50 MB of memory and most of the start of a
 * process, on every node too. So `config.js` is given these two from the files that define them.
 */

import { registerHooks } from 'node:module';

/** What `config.js` imports, and what it finds there instead of everything. */
const everything = './gen/index.js';
const parts = "export * from './configuration.js'; export * from './servers.js';";

export interface ClientParts {
  readonly KubeConfig: typeof import('@kubernetes/client-node').KubeConfig;
  readonly HttpMethod: typeof import('@kubernetes/client-node').HttpMethod;
  readonly RequestContext: typeof import('@kubernetes/client-node').RequestContext;
  readonly IsomorphicFetchHttpLibrary: typeof import('@kubernetes/client-node').IsomorphicFetchHttpLibrary;
}

let loading: Promise<ClientParts> | undefined;

/** Loads them once, and not at import: only subcommands that talk to a cluster should pay. */
export function loadClient(): Promise<ClientParts> {
  loading ??= load();
  return loading;
}

async function load(): Promise<ClientParts> {
  let replaced: string | undefined;
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      const resolved = next(specifier, context);
      const isWanted =
        specifier === everything && context.parentURL?.endsWith('/@kubernetes/client-node/dist/config.js');
      if (isWanted) replaced = resolved.url;
      return resolved;
    },
    load: (url, context, next) =>
      url === replaced ? { format: 'module', source: parts, shortCircuit: true } : next(url, context),
  });
  try {
    const [{ KubeConfig }, { HttpMethod, RequestContext }, { IsomorphicFetchHttpLibrary }] =
      await Promise.all([
        import('@kubernetes/client-node/dist/config.js'),
        import('@kubernetes/client-node/dist/gen/http/http.js'),
        import('@kubernetes/client-node/dist/gen/http/isomorphic-fetch.js'),
      ]);
    return { KubeConfig, HttpMethod, RequestContext, IsomorphicFetchHttpLibrary };
  } finally {
    hooks.deregister();
  }
}
