/** Which messages of a method stream. */
import type { MethodKind } from './types.js';

/** Whether the server sends a stream of replies. */
export function streamsReplies(kind: MethodKind): boolean {
  return kind === 'serverStream' || kind === 'duplex';
}

/** Whether the client sends a stream of messages. */
export function streamsInput(kind: MethodKind): boolean {
  return kind === 'clientStream' || kind === 'duplex';
}

/** Whether messages stream in either direction. */
export function isStreaming(kind: MethodKind): boolean {
  return kind !== 'unary' && (streamsReplies(kind) || streamsInput(kind));
}
