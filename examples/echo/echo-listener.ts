/** The server side of the echo. */
import type { EventListener } from 'getty-ts';
import { COMMAND, type EchoMessage } from './codec.js';

/** Answers a heartbeat with "pong", and any other message with itself. */
export const echoListener: EventListener<EchoMessage> = {
  onMessage(session, message) {
    session.write(message.command === COMMAND.heartbeat ? { ...message, text: 'pong' } : message);
  },
  onError: (session, error) => console.error(`${session.remoteAddress}: ${error.message}`),
};
