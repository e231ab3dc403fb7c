// @ts-check
/** What this process uses of the processors. */
import { existsSync, readFileSync } from 'node:fs';

/**
 * Both in microseconds since the process began. `cpu`: of all threads. `waited`: how long the main
 * thread was ready and had no processor; 0 where the system does not report it.
 * @typedef {{ cpu: number, waited: number }} Usage
 */

const SCHEDULER = '/proc/self/schedstat';
const hasScheduler = existsSync(SCHEDULER);

/** @returns {Usage} */
export function usage() {
  const { user, system } = process.cpuUsage();
  const waited = hasScheduler ? Number(readFileSync(SCHEDULER, 'latin1').split(' ')[1]) / 1_000 : 0;
  return { cpu: user + system, waited };
}
