/** What the simulated processes hold of this package: their servers, sessions, calls and so on. */
import { type ResourceKind, resources } from '../../src/core/resource-tracker.js';
import type { RpcChannel } from '../../src/rpc/calls/channel.js';
import { activeProcess, type SimulatedProcess } from '../../src/testing/simulation/context.js';
import type { Host } from '../../src/testing/simulation/index.js';

export class ResourceLedger implements Disposable {
  readonly #former = resources.tracker;
  readonly #held = new Map<object, { kind: ResourceKind; process: SimulatedProcess }>();

  /** Records from now on, until it is disposed of. */
  constructor() {
    resources.tracker = {
      onOpen: (kind, resource) => {
        const process = activeProcess();
        // Timers are counted by their process.
        if (kind !== 'timer' && process !== undefined && !this.#held.has(resource))
          this.#held.set(resource, { kind, process });
      },
      onClose: (resource) => void this.#held.delete(resource),
    };
  }

  [Symbol.dispose](): void {
    resources.tracker = this.#former;
  }

  /** What the present processes of these hosts hold. What a crashed process held is gone. */
  left(hosts: readonly Host[]): string[] {
    const left: string[] = [];
    for (const [resource, { kind, process }] of this.#held) {
      if (process.isDead) {
        this.#held.delete(resource);
        continue;
      }
      const { name } = process.host;
      if (!hosts.some((host) => host.name === name)) continue;
      if (kind !== 'channel') left.push(`${name} keeps: ${kind}`);
      else {
        const { made, served } = (resource as RpcChannel).inFlight;
        if (made.length > 0) left.push(`${name} keeps: ${made.length} calls that it made`);
        if (served.length > 0) left.push(`${name} keeps: ${served.length} calls that it serves`);
      }
    }
    for (const host of hosts) {
      const { process } = host as unknown as { process?: SimulatedProcess };
      if (process === undefined) continue;
      if (process.timers.size > 0) left.push(`${host.name} keeps: ${process.timers.size} timers`);
      if (process.sockets.size > 0)
        left.push(`${host.name} keeps: ${process.sockets.size} sockets`);
    }
    return left;
  }
}
