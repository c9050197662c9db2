import assert from 'node:assert/strict';
import { registerHooks } from 'node:module';
import { test } from 'node:test';
import { loadClient } from '../../src/kubernetes/clientParts.ts';

test('of the client only what is used is loaded, and it works', async () => {
  const loaded: string[] = [];
  const hooks = registerHooks({
    load(url, context, next) {
      if (url.includes('/@kubernetes/client-node/')) loaded.push(url);
      return next(url, context);
    },
  });
  const { KubeConfig, HttpMethod, RequestContext, IsomorphicFetchHttpLibrary } = await loadClient();
  hooks.deregister();
  assert.ok(loaded.some((url) => url.endsWith('/dist/config.js')));
  assert.deepEqual(
    loaded.filter((url) => /\/gen\/(models|apis|types)\//.test(url)),
    [],
  );
  const config = new KubeConfig();
  const [name, user] = ['c', { name: 'u', token: 'secret' }];
  config.loadFromClusterAndUser({ name, server: 'https://127.0.0.1:1', skipTLSVerify: true }, user);
  const context = new RequestContext('https://127.0.0.1:1/', HttpMethod.GET);
  await config.applySecurityAuthentication(context);
  assert.equal(context.getHeaders().Authorization, 'Bearer secret');
  assert.ok(context.getDispatcher() !== undefined && new IsomorphicFetchHttpLibrary());
});
