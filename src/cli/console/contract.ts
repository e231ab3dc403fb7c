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
  /** The history, and then an update each second. */
  watch: serverStream<void, FleetMessage>(),
  service: unary<{ readonly name: string; readonly version: string }, ServiceDetail>({
    idempotent: true,
  }),
  /** Asks the node for its sessions and its process. */
  node: unary<{ readonly key: string }, NodeDetail>({ idempotent: true }),
  /** Asks the node for its methods and their schemas. */
  methods: unary<{ readonly node: string }, readonly CallableRow[]>({ idempotent: true }),
  call: duplex<CallInput, CallOutput>(),
  admin: unary<AdminRequest, void>(),
});
