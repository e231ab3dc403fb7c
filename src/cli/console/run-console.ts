/** Runs the console: follows the target, and serves the page, until the signal aborts. */
import { untilAborted } from '../../core/signals.js';
import { openQuietRegistry } from '../target/published-nodes.js';
import type { Target } from '../target/target.js';
import type { Terminal } from '../terminal.js';
import { type ConsoleSettings, consoleService } from './console-service.js';
import { Fleet, followRegistry } from './fleet/fleet.js';
import { ConsoleServer } from './http/console-server.js';
import type { ListenAddress } from './http/listen-address.js';

export interface RunSettings extends ConsoleSettings {
  readonly listen: ListenAddress;
  readonly hosts: readonly string[];
}

/**
 * Calls `onReady` with the URL of the page, and disposes of its result at the end. Resolves when
 * the signal of the terminal has aborted. Rejects if the registry cannot be opened or listed, and
 * if the port cannot be used.
 */
export async function runConsole(
  target: Target,
  settings: RunSettings,
  terminal: Terminal,
  onReady: (url: string) => Promise<AsyncDisposable | undefined>,
): Promise<void> {
  const { signal } = terminal;
  await using registry =
    target.kind === 'registry'
      ? await untilAborted(openQuietRegistry(target.url), signal)
      : undefined;
  using fleet = new Fleet(target, settings, terminal);
  // A failure of the first list ends the command, because the URL may be wrong. The page shows
  // later ones.
  if (registry !== undefined) fleet.follow(await untilAborted(registry.list(), signal));
  using server = await ConsoleServer.start(consoleService(fleet, settings, terminal), {
    listen: settings.listen,
    hosts: settings.hosts,
    needsToken: hasCredentials(settings, terminal),
  });
  await using _ = await onReady(server.url);
  await Promise.all([
    fleet.run(signal),
    registry === undefined
      ? undefined
      : followRegistry(fleet, () => untilAborted(registry.list(), signal), signal),
  ]);
}

/**
 * Whether the page can change nodes, or calls them with credentials of this user. Other users of
 * this machine may not do so, and must not reach the page without a token.
 */
function hasCredentials(
  { allowAdmin, token, key }: RunSettings,
  { environment }: Terminal,
): boolean {
  return allowAdmin === true || [token, key, environment.GETTY_TOKEN].some(isGiven);
}

const isGiven = (text: string | undefined): boolean => text !== undefined && text !== '';
