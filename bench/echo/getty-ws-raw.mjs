// @ts-check
/** An echo of WebSocket messages by getty, without a codec of its own, as Bun.serve() has none. */
import { raw } from '../../dist/transport/index.js';
import { serveAt } from './getty.mjs';

export const serve = () => serveAt('ws', { codec: raw() });
