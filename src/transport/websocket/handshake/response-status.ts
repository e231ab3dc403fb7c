import type { IncomingMessage } from 'node:http';

/** Characters of the reason phrase in an error. */
const MAX_REASON = 100;

/**
 * The status of a response for an error, such as `407 Proxy Authentication Required`. Node.js reads
 * the bytes of the reason phrase as Latin-1; a hostile server could control a terminal with them.
 */
export function responseStatus({ statusCode, statusMessage = '' }: IncomingMessage): string {
  return `${statusCode} ${statusMessage.slice(0, MAX_REASON).replace(/[^ -~]/g, '?')}`.trim();
}
