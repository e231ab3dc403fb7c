/** Whether this package has the timers of Node.js, which drive a simulation. */
import { stat } from 'node:fs/promises';
import { gettyError } from '../../core/errors.js';

const { setImmediate } = globalThis;
let isChecked = false;

/** Rejects with SIMULATION_FAILED if fake timers were installed when this module was loaded. */
export async function checkRealTimers(): Promise<void> {
  if (isChecked) return;
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
  isChecked = true;
}
