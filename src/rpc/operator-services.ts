/** The services of a server for its operators: introspection and admin. */
import type { Logger } from '../core/logger.js';
import { withAdmin } from './admin/admin-service.js';
import type { RpcChannel } from './calls/channel.js';
import { DescriptorSets } from './metrics/descriptor-set.js';
import { EventLoopMonitor } from './metrics/event-loop-monitor.js';
import { type IntrospectionSource, withIntrospection } from './metrics/introspection.js';
import { processStatus } from './metrics/process-status.js';
import type { ServerStatus } from './metrics/server-status.js';
import { sessionIdOf, sessionsReport } from './metrics/session-report.js';
import type { RpcCounters } from './metrics/statistics.js';
import type { ServedProvider } from './served-provider.js';
import type { RpcServer, Service } from './types.js';

/** The part of a server that the services report and change. */
export interface OperatedServer {
  readonly channels: ReadonlySet<RpcChannel>;
  readonly counters: RpcCounters;
  readonly refusals: RpcServer['refusals'];
  /** Undefined: the server has none. */
  readonly provider: ServedProvider | undefined;
  readonly logger: Logger;
  /** Milliseconds. */
  readonly drainTimeout: number;
}

export class OperatorServices implements IntrospectionSource {
  readonly #server: OperatedServer;
  #descriptors = new DescriptorSets([]);
  readonly #monitor = new EventLoopMonitor();
  /** The beginning of the ids of all sessions of this server. Random: other servers have others. */
  readonly #sessionPrefix = randomText();

  constructor(server: OperatedServer) {
    this.#server = server;
  }

  /** Returns `services` and the services that the options ask for. Throws BAD_OPTION. */
  addTo(
    services: readonly Service[],
    { introspection, admin }: { introspection: boolean; admin: boolean },
  ): readonly Service[] {
    const { provider, logger } = this.#server;
    this.#descriptors = new DescriptorSets(services);
    const withAll = admin
      ? withAdmin(services, {
          provider,
          logger,
          closeSession: (id, now) => this.#closeSession(id, now),
        })
      : services;
    return introspection ? withIntrospection(withAll, this) : withAll;
  }

  get counters(): RpcCounters {
    return this.#server.counters;
  }

  sessions(request: unknown): ReturnType<IntrospectionSource['sessions']> {
    return sessionsReport(this.#sessionPrefix, this.#server.channels, request);
  }

  status(): ServerStatus {
    const { channels, refusals, provider } = this.#server;
    return {
      time: Date.now(),
      process: processStatus(this.#monitor.report()),
      sessions: channels.size,
      refusals,
      provider: provider?.status(),
    };
  }

  descriptors(service: string | undefined): string {
    return this.#descriptors.find(service);
  }

  #closeSession(id: string, now: boolean): string | undefined {
    for (const channel of this.#server.channels) {
      if (channel.closed || sessionIdOf(this.#sessionPrefix, channel) !== id) continue;
      // Later, because the answer may go to the peer of this session.
      const { drainTimeout } = this.#server;
      setImmediate(() => {
        if (now) void channel.session?.close();
        else void channel.closeInOrder(drainTimeout);
      });
      return channel.peer;
    }
    return undefined;
  }

  /** Ends the measurement of the event loop. The server is closed. */
  close(): void {
    this.#monitor.close();
  }
}

/** 16 hexadecimal digits. */
function randomText(): string {
  const digits = crypto.getRandomValues(new Uint32Array(2));
  return [...digits].map((part) => part.toString(16).padStart(8, '0')).join('');
}
