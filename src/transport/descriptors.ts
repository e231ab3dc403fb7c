/**
 * The default of ServerOptions.maxSessions, from the process's limit of open files. When no
 * descriptor is left, Node.js accepts and closes each new connection without an event. With a
 * lower limit of sessions, the server refuses and counts these connections.
 */
import { readdirSync, readFileSync } from 'node:fs';

/**
 * This part of the limit, but at least MIN_RESERVED descriptors, is reserved for files, name
 * lookups and outgoing connections.
 */
const RESERVED_PART = 0.1;
const MIN_RESERVED = 32;

/** For transports with one descriptor per session. Undefined: no limit. */
export function defaultMaxSessions(): number | undefined {
  const limit = descriptorLimit();
  return limit === undefined ? undefined : sessionsWithin(limit, countOpenDescriptors());
}

/**
 * The number of sessions that a limit of descriptors permits while `inUse` are open; at least 1.
 */
export function sessionsWithin(limit: number, inUse: number): number {
  return Math.max(1, Math.floor(limit - inUse - Math.max(MIN_RESERVED, limit * RESERVED_PART)));
}

/** The soft limit of open files; undefined: unlimited, or unknown. */
function descriptorLimit(): number | undefined {
  const soft = Number(readSoftLimit());
  return Number.isInteger(soft) && soft > 0 ? soft : undefined;
}

function readSoftLimit(): unknown {
  if (process.platform === 'win32') return undefined;
  try {
    return /^Max open files +(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
  } catch {
    return readLimitOfReport();
  }
}

/** For systems without /proc, such as macOS and the BSDs. */
function readLimitOfReport(): unknown {
  const { report } = process as { report?: { excludeNetwork?: boolean; getReport(): unknown } };
  if (report === undefined) return undefined;
  const { excludeNetwork } = report;
  // Otherwise the report looks up the names of network addresses, which can take seconds.
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

function countOpenDescriptors(): number {
  for (const path of ['/proc/self/fd', '/dev/fd']) {
    try {
      return readdirSync(path).length;
    } catch {
      // Linux has the first path, macOS and the BSDs the second, and Windows neither.
    }
  }
  return 0;
}
