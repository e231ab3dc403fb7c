/**
 * The process's limit of open files, which bounds the sessions of a server. When no descriptor is
 * left, Node.js accepts and closes each new connection and tells nothing; a limit of our own below
 * that refuses and counts them.
 */
import { readdirSync, readFileSync } from 'node:fs';

/**
 * Part of the limit, and the smallest number, that is left to files, name lookups and outgoing
 * connections.
 */
const RESERVED_PART = 0.1;
const RESERVED_LEAST = 32;

/**
 * The default of ServerOptions.maxSessions for transports with a descriptor per session; undefined:
 * there is no limit.
 */
export function defaultMaxSessions(): number | undefined {
  const limit = descriptorLimit();
  return limit === undefined ? undefined : sessionsWithin(limit, openDescriptors());
}

/** How many sessions fit in a limit of descriptors, of which some are in use; at least 1. */
export function sessionsWithin(limit: number, inUse: number): number {
  return Math.max(1, Math.floor(limit - inUse - Math.max(RESERVED_LEAST, limit * RESERVED_PART)));
}

/** The soft limit of open files; undefined: unlimited, or unknown. */
function descriptorLimit(): number | undefined {
  const soft = Number(softLimit());
  return Number.isInteger(soft) && soft > 0 ? soft : undefined;
}

function softLimit(): unknown {
  if (process.platform === 'win32') return undefined;
  try {
    return /^Max open files +(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
  } catch {
    return limitOfReport();
  }
}

/** Where there is no /proc: macOS and the BSDs. */
function limitOfReport(): unknown {
  const { report } = process as { report?: { excludeNetwork?: boolean; getReport(): unknown } };
  if (report === undefined) return undefined;
  const { excludeNetwork } = report;
  // Without this a report looks up the names of the network's addresses.
  report.excludeNetwork = true;
  try {
    return (report.getReport() as { userLimits?: { open_files?: { soft?: unknown } } }).userLimits
      ?.open_files?.soft;
  } catch {
    return undefined;
  } finally {
    if (excludeNetwork !== undefined) report.excludeNetwork = excludeNetwork;
  }
}

function openDescriptors(): number {
  for (const path of ['/proc/self/fd', '/dev/fd']) {
    try {
      return readdirSync(path).length;
    } catch {
      // This system has the other one, or neither.
    }
  }
  return 0;
}
