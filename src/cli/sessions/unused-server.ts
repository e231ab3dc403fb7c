/** Waits until a server has no sessions any more. */
import { pause } from '../../core/timers.js';
import { type RpcClient, RpcError } from '../../rpc/index.js';
import { AdvisedError } from '../failure.js';
import type { Output } from '../output/output.js';
import { timeText } from '../output/quantity.js';
import type { IntrospectionSettings } from '../target/introspection.js';
import { otherSessions } from './other-sessions.js';

/** Milliseconds between two questions. */
const INTERVAL = 200;

/**
 * Resolves when the server has no session but that of `client`, and so no calls in flight. Rejects
 * with DEADLINE_EXCEEDED after `limit` milliseconds, and as calls do if the server ends.
 */
export async function untilUnused(
  client: RpcClient,
  limit: number,
  output: Output,
  settings: IntrospectionSettings,
): Promise<void> {
  const end = performance.now() + limit;
  let last = '';
  for (;;) {
    const { total, sessions, isOwnLeftOut } = await otherSessions(client, settings);
    const left = isOwnLeftOut ? total : total - 1;
    if (left <= 0) return output.progress('no sessions are left');
    const calls = sessions.reduce((sum, { serving, pending }) => sum + serving + pending, 0);
    const text = `sessions: ${left}, calls in flight: ${calls}`;
    if (text !== last) output.progress(text);
    last = text;
    const rest = end - performance.now();
    if (rest <= 0)
      throw new AdvisedError(
        new RpcError(
          'DEADLINE_EXCEEDED',
          `the provider is in use after ${timeText(limit)}: ${text}`,
        ),
        'wait longer with --wait; `getty sessions ADDRESS` shows the peers',
      );
    await pause(Math.min(INTERVAL, rest), settings.signal);
  }
}
