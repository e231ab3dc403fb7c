/**
 * The transport `udp://`. A peer is an address and a port, and its datagrams are the messages of
 * one session. Nothing is added to UDP: datagrams may be lost, duplicated or reordered, and the end
 * of a session is not sent to the peer.
 *
 * The sender's address of a datagram can be forged. A server sends a peer that is not trusted at
 * most what arrived from its address (`udp.amplification`), so that forged datagrams cannot turn
 * the server against a third party. Further datagrams do not make a peer trusted, because a forger
 * can send many. Only the protocol of the application can verify a peer, for example by a secret
 * that the peer must repeat. It then calls trust(). The limit does not prevent a forger from
 * sending messages in the name of a peer, or from occupying `maxSessions` until idleTimeout. A
 * protocol that needs more protection must authenticate each message.
 *
 * If the system rejects a datagram (no route, not permitted, no socket at the port), the session
 * ends with CONNECTION_LOST, and a client connects again. A peer that has disappeared is usually
 * just silent, so give clients an idleTimeout.
 */

import { gettyError, messageOf } from '../../core/errors.js';
import { badOption } from '../../core/options.js';
import { untilAborted } from '../../core/signals.js';
import type { Transport } from '../types.js';
import { rotateAfterFailed, UdpClientConnection } from './udp-client-connection.js';
import { UdpListener } from './udp-listener.js';
import { resolveUdpOptions } from './udp-options.js';
import {
  bindSocket,
  bindToAllInterfaces,
  connectSocket,
  type Host,
  resolveHosts,
} from './udp-socket.js';

export const udp: Transport = {
  maxSessions: 10_000,

  async listen(address, options, accept) {
    const settings = resolveUdpOptions(options.udp, options.socket);
    try {
      const socket = await (address.host === ''
        ? bindToAllInterfaces(address.port, settings)
        : bindSocket((await resolveHosts(address.host))[0] as Host, address.port, settings));
      return new UdpListener(socket, address, settings, options.admission, accept);
    } catch (error) {
      throw gettyError(
        'LISTEN_FAILED',
        `cannot listen at ${address.text}: ${messageOf(error)}`,
        error,
      );
    }
  },

  async dial(address, options, signal) {
    const settings = resolveUdpOptions(options.udp, options.socket);
    if (settings.multicast.length > 0)
      throw badOption(
        'udp.multicast',
        settings.multicast,
        'none for a client: only a server can join groups',
      );
    let failure: unknown;
    try {
      const hosts = await untilAborted(resolveHosts(address.host || 'localhost'), signal);
      for (const host of rotateAfterFailed(address, hosts)) {
        try {
          const socket = await connectSocket(host, address.port, settings);
          return new UdpClientConnection(socket, address, settings);
        } catch (error) {
          // The system may have no route to one of the addresses, for example without IPv6.
          failure = error;
        }
      }
    } catch (error) {
      failure = error;
    }
    throw gettyError(
      'CONNECT_FAILED',
      `cannot connect to ${address.text}: ${messageOf(failure)}`,
      failure,
    );
  },
};
