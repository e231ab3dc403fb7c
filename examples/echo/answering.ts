/** The server's side of the echo. */
import type { EventListener } from 'getty-ts';
import { COMMAND, type EchoPackage } from './codec.js';

/** Heartbeats are answered with "pong", everything else with itself. */
export const answering: EventListener<EchoPackage> = {
  onMessage(session, message) {
    session.write(message.command === COMMAND.heartbeat ? { ...message, text: 'pong' } : message);
  },
  onError: (session, error) => console.error(`${session.remoteAddress}: ${error.message}`),
};
