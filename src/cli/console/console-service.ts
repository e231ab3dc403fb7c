/** Implements the service `getty.Console` over a Fleet. */
import { untilAborted } from '../../core/signals.js';
import { Admin, implement, RpcError, type Service } from '../../rpc/index.js';
import type { ConnectionOptions } from '../target/connection-options.js';
import type { Terminal } from '../terminal.js';
import { consoleCall, readRequest } from './call/console-call.js';
import { ConsoleContract } from './contract.js';
import type { Fleet } from './fleet/fleet.js';
import type { FleetNode } from './fleet/fleet-node.js';
import { applyChange } from './node-admin.js';
import { callableMethods, nodeDetail, serviceDetail } from './node-questions.js';

/** The most calls of all pages at the same time. Each has a connection of its own. */
const MAX_CALLS = 100;

export interface ConsoleSettings extends ConnectionOptions {
  /**
   * Whether the page may drain nodes, change their weights, and call the admin service. Default:
   * false.
   */
  readonly allowAdmin?: boolean | undefined;
}

export function consoleService(
  fleet: Fleet,
  settings: ConsoleSettings,
  terminal: Terminal,
): Service {
  const nodeOf = (key: unknown): FleetNode => {
    const node = typeof key === 'string' ? fleet.node(key) : undefined;
    if (node === undefined) throw new RpcError('NOT_FOUND', 'the console does not know this node');
    return node;
  };
  const checkAdmin = (): void => {
    if (settings.allowAdmin === true) return;
    throw new RpcError('PERMISSION_DENIED', 'the console was started without --allow-admin');
  };
  let calls = 0;
  return implement(ConsoleContract, {
    async *watch(_, { signal }) {
      yield* fleet.histories(settings.allowAdmin === true);
      let seen = 0;
      for (;;) {
        const events = fleet.events.since(seen);
        seen = fleet.events.last;
        yield { ...fleet.update(), events };
        // A slow page misses the points of some seconds, but no events that the log still has.
        await untilAborted(fleet.nextSecond(), signal);
      }
    },
    service: ({ name, version }) => serviceDetail(fleet.nodesOf(name, version), name, version),
    node: ({ key }) => nodeDetail(nodeOf(key), terminal),
    methods: ({ node }) => callableMethods(nodeOf(node), terminal),
    async *call(input, { signal }) {
      const messages = input[Symbol.asyncIterator]();
      const request = await readRequest(messages);
      const { address } = nodeOf(request.node);
      if (request.service === Admin.name) checkAdmin();
      if (calls >= MAX_CALLS)
        throw new RpcError('RESOURCE_EXHAUSTED', `the console makes ${MAX_CALLS} calls already`);
      calls++;
      try {
        yield* consoleCall(address, request, messages, settings, terminal, signal);
      } finally {
        calls--;
      }
    },
    admin: (request) => {
      checkAdmin();
      return applyChange(nodeOf(request.node), request, terminal);
    },
  });
}
