/** Why a node could not be asked: the state that follows, and how long the console waits then. */
import { codeOf, messageOf } from '../../../core/errors.js';
import { AdvisedError } from '../../failure.js';
import { MAX_MESSAGE, printable } from '../../output/printable.js';
import { isOtherProtocol } from '../../target/introspection.js';
import type { NodeState } from '../types.js';

/** Milliseconds that a node may take to answer. */
export const ANSWER_LIMIT = 2_000;
/** The most characters of a reason on the page. */
const MAX_REASON = MAX_MESSAGE / 10;
/** The most seconds in which a node is not asked after a failure. */
const LONGEST_PAUSE = 5;
/** The same for a server without introspection: each question ends a session of a server of Go. */
const SILENT_PAUSE = 15;

export interface NodeFailure {
  readonly state: 'unreachable' | 'silent';
  /** Printable. */
  readonly reason: string;
  /** In how many of the next seconds the node is not asked. */
  readonly pause: number;
}

/** `before`: the state before the failure. `failures`: how many there were without an answer. */
export function nodeFailure(error: unknown, before: NodeState, failures: number): NodeFailure {
  const isSilent = isWithoutIntrospection(error, before);
  return {
    state: isSilent ? 'silent' : 'unreachable',
    reason: printableReason(reasonOf(error, isSilent)),
    pause: isSilent ? SILENT_PAUSE : Math.min(failures - 1, LONGEST_PAUSE),
  };
}

/** A reason for the page, cut and with escaped control characters. */
export const printableReason = (reason: string): string => printable(reason, MAX_REASON);

const causeOf = (error: unknown): unknown => (error instanceof AdvisedError ? error.error : error);

/**
 * Whether a server runs at the address of the node and does not answer introspection. A server of
 * Go ends the session then. A server that has just ended does so too, so a node that has answered
 * before is unreachable.
 */
function isWithoutIntrospection(error: unknown, before: NodeState): boolean {
  if (isOtherProtocol(error)) return false;
  switch (codeOf(causeOf(error))) {
    case 'UNIMPLEMENTED':
    case 'UNAUTHENTICATED':
    case 'PERMISSION_DENIED':
    case 'INTERNAL':
    case 'RESOURCE_EXHAUSTED':
      return true;
    case 'UNAVAILABLE':
      return error instanceof AdvisedError && (before === 'connecting' || before === 'silent');
    default:
      return false;
  }
}

function reasonOf(error: unknown, isSilent: boolean): string {
  if (isOtherProtocol(error)) return 'it has another protocol';
  const cause = causeOf(error);
  switch (codeOf(cause)) {
    case 'UNIMPLEMENTED':
      return 'it has no introspection; start it with introspection: true';
    case 'UNAVAILABLE':
      return isSilent ? 'it has no introspection, as servers of Go' : 'the connection was lost';
    case 'DEADLINE_EXCEEDED':
      return `it does not answer within ${ANSWER_LIMIT / 1_000} s`;
    default:
      return messageOf(cause);
  }
}
