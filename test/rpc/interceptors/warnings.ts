/** The warnings of the process during a test. */
import { onTestFinished, vi } from 'vitest';

/** Records the warnings of the process instead of emitting them, until the test has finished. */
export function recordWarnings(): unknown[] {
  const warnings: unknown[] = [];
  const emitWarning = vi
    .spyOn(process, 'emitWarning')
    .mockImplementation((warning) => void warnings.push(warning));
  onTestFinished(() => emitWarning.mockRestore());
  return warnings;
}
