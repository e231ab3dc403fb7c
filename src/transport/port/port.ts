/**
 * The transport over message ports: between the threads of Node.js, and between a page and its
 * workers and frames.
 */
import type { Transport } from '../types.js';
import { dialPort } from './port-dial.js';
import { PortListener } from './port-listener.js';

export const port: Transport = {
  // The peer may be a frame of another origin.
  maxSessions: 10_000,
  async listen(address, options, accept) {
    return new PortListener(address, options, accept);
  },
  dial: (address, _options, signal) => dialPort(address, signal),
};
