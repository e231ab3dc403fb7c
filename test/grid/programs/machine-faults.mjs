/** Faults that a process causes to itself. */
import { closeSync, openSync } from 'node:fs';

const descriptors = [];

export const MACHINE_FAULTS = {
  /** Blocks the event loop. */
  stall(ms) {
    const end = process.hrtime.bigint() + BigInt(ms) * 1_000_000n;
    while (process.hrtime.bigint() < end);
  },
  /** Opens files until the limit of the process is reached. Returns how many. */
  takeDescriptors() {
    for (;;) {
      try {
        descriptors.push(openSync('/dev/null', 'r'));
      } catch (error) {
        if (error.code === 'EMFILE') return descriptors.length;
        throw error;
      }
    }
  },
  releaseDescriptors() {
    for (const descriptor of descriptors.splice(0)) closeSync(descriptor);
  },
  date: () => Date.now(),
  memory() {
    globalThis.gc?.();
    return process.memoryUsage();
  },
};
