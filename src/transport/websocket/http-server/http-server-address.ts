/** Parses the address of a WebSocket server on an HTTP server. */
import { Server } from 'node:http';
import { Server as SecureServer } from 'node:https';
import { isInstance } from '../../../core/errors.js';
import { badOption, checkNames, type NamesOf } from '../../../core/options.js';
import { type Address, encodePath, isPath } from '../../address.js';
import type { HttpServerAddress } from '../../types.js';

const NAMES = { server: true, path: true } satisfies NamesOf<HttpServerAddress>;

/** Throws BAD_OPTION. */
export function parseHttpServerAddress(given: HttpServerAddress): Address {
  checkNames('the address of serve()', given, NAMES);
  const { server, path } = given;
  const isSecure = isInstance(server, SecureServer);
  if (!isSecure && !isInstance(server, Server))
    throw badOption('server', server, 'a server of node:http or node:https');
  if (!isPath(path))
    throw badOption('path', path, 'a path with a leading slash and no query, such as /game');
  const encoded = encodePath(path);
  return {
    scheme: isSecure ? 'wss' : 'ws',
    host: '',
    port: 0,
    path: encoded,
    text: `${encoded} of the HTTP server`,
    httpServer: server,
  };
}
