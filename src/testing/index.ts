/** The testing kit: tools for tests of programs that use this package. */
export {
  type CallHandlerOptions,
  callHandler,
  type HandlerReplies,
  type HandlerReply,
} from './call-handler.js';
export {
  CODEC_CASES_DEFAULTS,
  type CodecCasesOptions,
  codecCases,
  type TestCase,
} from './codec-cases.js';
export { assertNoLeaks, LEAK_DEFAULTS, type Leak, type LeakOptions, leaks } from './leaks/leaks.js';
export {
  type MockCall,
  type MockContext,
  type MockHandlers,
  type MockStub,
  mockStub,
} from './mock-stub.js';
export type { NodeFilter } from './node-filter.js';
export {
  FAULT_DEFAULTS,
  type FaultProxy,
  type Faults,
  type ProxyFaults,
  type ProxyOptions,
  proxy,
} from './proxy/index.js';
export * from './simulation/index.js';
export {
  FLAP_DEFAULTS,
  type FlapOptions,
  type TestNode,
  type TestRegistry,
  testRegistry,
} from './test-registry.js';
