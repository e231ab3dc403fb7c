import type { Logger } from '../../../src/transport/index.js';
import { until } from '../../fixtures/waiting.js';

/** The reports of one failure: warnings, log lines, onError() and rejections. */
export class Reports {
  readonly all: string[] = [];
  readonly logger: Logger = {
    info() {},
    warn: (details) => this.add('logger', (details as { error?: unknown }).error),
  };

  /** `channel`: how the failure was reported. */
  add(channel: string, error: unknown): void {
    let text = 'a value without a string form';
    try {
      text = String((error as { code?: string }).code ?? error);
    } catch {
      // A revoked proxy.
    }
    this.all.push(`${channel}: ${text}`);
  }

  /** Awaits `operation`, whose rejection counts as a report. */
  async rejection(operation: () => unknown): Promise<void> {
    try {
      await operation();
    } catch (error) {
      this.add('rejection', error);
    }
  }

  /** Waits for the first report. */
  first(): Promise<void> {
    return until(() => this.all.length > 0, 'the failure is reported');
  }
}
