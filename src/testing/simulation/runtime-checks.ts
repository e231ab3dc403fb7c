/** Whether this process has what drives a simulation: the timers and the hooks of Node.js. */
import { createHook } from 'node:async_hooks';
import { stat } from 'node:fs/promises';
import { gettyError } from '../../core/errors.js';

const { setImmediate } = globalThis;
let isChecked = false;

/**
 * Rejects with SIMULATION_FAILED if fake timers were installed when this module was loaded, or if
 * the runtime does not report its async resources.
 */
export async function checkRuntime(): Promise<void> {
  if (isChecked) return;
  checkAsyncHooks();
  await checkRealTimers();
  isChecked = true;
}

/** A simulation knows by its async resources to which host the running code belongs. */
function checkAsyncHooks(): void {
  let isCalled = false;
  const hook = createHook({
    init() {
      isCalled = true;
    },
  }).enable();
  void Promise.resolve();
  hook.disable();
  if (!isCalled) {
    throw gettyError(
      'SIMULATION_FAILED',
      'createHook() of node:async_hooks has no effect on this runtime: simulate() needs Node.js',
    );
  }
}

async function checkRealTimers(): Promise<void> {
  let hasRun = false;
  setImmediate(() => {
    hasRun = true;
  });
  // The answer of the file system begins a turn, at the end of which immediates run.
  for (let turn = 0; turn < 2; turn++) await stat('.').catch(() => {});
  if (!hasRun) {
    throw gettyError(
      'SIMULATION_FAILED',
      'setImmediate() was replaced, such as by fake timers, when getty-ts/testing was loaded: a simulation would never begin; import getty-ts/testing before you install fake timers',
    );
  }
}
