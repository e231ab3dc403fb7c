/** The process of this server, for its status. */
import { readFileSync } from 'node:fs';
import type { EventLoopDelay, ProcessStatus } from './server-status.js';

export function processStatus(eventLoopDelay: EventLoopDelay | undefined): ProcessStatus {
  const { rss, heapUsed } = process.memoryUsage();
  return {
    pid: process.pid,
    uptime: Math.round(process.uptime() * 1_000),
    nodeVersion: process.version,
    version: packageVersion(),
    rss,
    heapUsed,
    eventLoopDelay,
  };
}

let version: string | undefined;

/** Undefined where package.json is not above this file, as in a bundle of a program. */
function packageVersion(): string | undefined {
  version ??= readVersion();
  return version === '' ? undefined : version;
}

function readVersion(): string {
  try {
    const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
    const { name, version: found } = JSON.parse(text) as { name?: unknown; version?: unknown };
    return name === 'getty-ts' && typeof found === 'string' ? found : '';
  } catch {
    return '';
  }
}
