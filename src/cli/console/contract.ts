/** The service `getty.Console`, which the page calls over WebSocket. */
import { contract, duplex, serverStream, unary } from '../../web/rpc.js';
import type {
  AdminRequest,
  CallableRow,
  CallInput,
  CallOutput,
  FleetMessage,
  NodeDetail,
  ServiceDetail,
} from './types.js';

export const ConsoleContract = contract('getty.Console', {
  /** The start, the histories, and then an update each second. */
  watch: serverStream<void, FleetMessage>(),
  /** The calls of the last second of a service, by method and by node. Asks no node. */
  service: unary<{ readonly name: string; readonly version: string }, ServiceDetail>({
    idempotent: true,
  }),
  /** Asks the node for its sessions and its process. */
  node: unary<{ readonly key: string }, NodeDetail>({ idempotent: true }),
  /** Asks the node for its methods and their schemas. */
  methods: unary<{ readonly node: string }, readonly CallableRow[]>({ idempotent: true }),
  /** Calls a method of a node. The first message is the request. */
  call: duplex<CallInput, CallOutput>(),
  /** Drains or undrains a node, or changes its weight. PERMISSION_DENIED without --allow-admin. */
  admin: unary<AdminRequest, void>(),
});
