// @ts-check
/** net-coalesced with a small buffer for each socket, for many sockets that send little. */
import { createServer } from 'node:net';
import { echoCoalesced, listenAt } from './net.mjs';

export const serve = () =>
  listenAt(
    'tcp',
    createServer({ noDelay: true }, (socket) => echoCoalesced(socket, { size: 1024 })),
  );
