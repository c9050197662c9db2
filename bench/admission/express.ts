/** The bare express server: `node express.ts CERT KEY ANSWER` reads each review as JSON and answers always the same bytes. */

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import express from 'express';

const [cert = '', key = '', answer = ''] = process.argv.slice(2);
const app = express().disable('x-powered-by');
app.use(express.json({ limit: '7mb' }));
app.post('/mutate', (_request, response) => {
  response.type('application/json').send(answer);
});
const server = createServer(
  { minVersion: 'TLSv1.3', cert: readFileSync(cert), key: readFileSync(key), keepAliveTimeout: 95_000 },
  app,
);
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`listening on ${(server.address() as AddressInfo).port}\n`);
});
