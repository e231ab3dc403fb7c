// @ts-check
/**
 * Gives servers one processor and their loads the others, with the program taskset of Linux. So
 * both sides of a comparison have the same processors. Without taskset, or with one processor,
 * nothing is pinned.
 */
import { spawnSync } from 'node:child_process';

/** The processors that this process may use. */
function permitted() {
  const { status, stdout } = spawnSync('taskset', ['-cp', String(process.pid)], {
    encoding: 'utf8',
  });
  if (status !== 0) return [];
  const list = stdout.slice(stdout.lastIndexOf(':') + 1).trim();
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

const [first, ...others] = permitted();
const isPinned = first !== undefined && others.length > 0;

/** @typedef {'server' | 'load'} Task */

/**
 * The command, with its first arguments, that runs a program on the processors of `task`. Empty:
 * the program runs by itself.
 * @param {Task} task
 */
export function commandFor(task) {
  if (!isPinned) return [];
  return ['taskset', '-c', task === 'server' ? String(first) : others.join(',')];
}

/** A sentence for the report. */
export const affinity = isPinned
  ? `Servers are pinned to processor ${first} and loads to ${others.join(', ')}, with taskset.`
  : 'No process is pinned to a processor: taskset is missing, or there is only one processor.';
