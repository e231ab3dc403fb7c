// @ts-check
/** How many sessions the benchmark can open on this machine. */
import { readFileSync } from 'node:fs';
import { freemem } from 'node:os';

/** Open files of a process that are no sessions. */
const OTHER_FILES = 100;
/** Memory of one session in the server, the client and the system together, in bytes. */
const SESSION_BYTES = 40 * 1024;

/** The limit of open files of one process; infinite where the system does not report it. */
function openFiles() {
  try {
    const limits = readFileSync('/proc/self/limits', 'latin1');
    const limit = Number(/^Max open files +(\S+)/m.exec(limits)?.[1]);
    return Number.isNaN(limit) ? Number.POSITIVE_INFINITY : limit;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/**
 * The sessions of one process, at most `wanted`. Node.js raises its limit of open files to the hard
 * limit.
 * @param {number} wanted
 */
export function possibleSessions(wanted) {
  const most = Math.min(openFiles() - OTHER_FILES, Math.floor(freemem() / SESSION_BYTES));
  return Math.max(1, Math.min(wanted, most));
}

/** A sentence for the report. */
export const limitNote = () => `The limit of open files is ${openFiles()}.`;
