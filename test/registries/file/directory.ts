/** The directory of a file registry for each test, with registries and processes that use it. */
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { entryPath } from '../../../src/micro/registry-entry.js';
import type { Registry, ServiceNode } from '../../../src/micro/types.js';
import { file } from '../../../src/registries/file/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import type { RecordingLogger } from '../../fixtures/registries.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { ChildProcesses } from '../child-processes.js';

/** The ttl of the tests, in milliseconds: a busy machine does not miss a heartbeat. */
export const TTL = 1_200;
/** The directory of the registries of a test. */
export let directory: string;
/** The processes of a test. */
export const children = new ChildProcesses();
let base: string;
let registries: Registry[] = [];

/** Creates a directory for each test, and removes all that a test has opened. */
export function useDirectory(): void {
  noLeaks();
  noTimersLeft();
  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'getty-file-'));
    directory = join(base, 'registry');
  });
  afterEach(async () => {
    for (const registry of registries) await registry[Symbol.asyncDispose]();
    registries = [];
    await children[Symbol.asyncDispose]();
    await rm(base, { recursive: true, force: true });
  });
}

/** Opens a registry on the directory of the test. */
export function open(log?: RecordingLogger, ttl = TTL): Registry {
  const registry = file(directory, { ttl, pollInterval: 10, logger: log });
  registries.push(registry);
  return registry;
}

export const pathOf = (given: ServiceNode): string => entryPath(directory, given);

/** Starts a process that publishes `given` in the directory of the test. */
export function startProvider(given: ServiceNode): Promise<ChildProcess> {
  return children.start('file-provider.mjs', [directory, `${TTL}`, JSON.stringify(given)]);
}
