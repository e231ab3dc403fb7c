// @ts-check
/**
 * An echo of framed messages, written by hand on node:tls. The answers to a chunk are one write.
 */
import { connect, createServer } from 'node:tls';
import { parse } from './echo.mjs';
import { echoCoalesced, listenAt, openOn } from './net.mjs';
import { ofClient, ofServer } from './tls.mjs';

export const serve = () =>
  listenAt(
    'tls',
    createServer({ ...ofServer, noDelay: true }, (socket) =>
      echoCoalesced(socket, { recycles: true }),
    ),
  );

/** @type {import('./echo.mjs').EchoPeer['open']} */
export const open = (address, size, onMessages) =>
  openOn(
    connect({ ...parse(address), ...ofClient }).setNoDelay(true),
    'secureConnect',
    size,
    onMessages,
    { coalesced: true, recycles: true },
  );
