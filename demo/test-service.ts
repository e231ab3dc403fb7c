/** TestService v1.0, which every provider of the demo offers in JSON and Protobuf. */
import { contract, implement, type Service } from 'getty-ts/rpc';
import { TestService as descriptor } from './test_service_pb.js';

export const TestService = contract(descriptor, { version: 'v1.0', oneway: ['Event'] });

export function testService(): Service {
  return implement(TestService, {
    test: ({ A, B, C }) => ({ A: `${A}, ${B}, ${C}` }),
    add: ({ A, B }) => ({ Sum: A + B }),
    err() {
      throw new Error('this is a error test');
    },
    event: () => ({}),
  });
}
