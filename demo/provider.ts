/** A provider process of the demo: `provider.js REGISTRY NAME`. */
import { provide, type Registry } from 'getty-ts/micro';
import { registry as openRegistry } from 'getty-ts/registry';
import { messageOf } from '#getty/core/errors.js';
import { followParent, report } from './messages.js';
import { testService } from './test-service.js';

const [url = '', id = ''] = process.argv.slice(2);

let registry: Registry | undefined;
try {
  // An unreachable registry is reported at once, not when the demo has waited for its nodes.
  const opened = await openRegistry(url, { waitForRegistry: false });
  registry = opened;
  const provider = await provide({
    registry,
    id,
    address: 'tcp://127.0.0.1:0',
    services: [testService()],
    // For `getty console`. The admin service needs no password on 127.0.0.1.
    introspection: true,
    admin: true,
  });
  followParent(async ({ type }) => {
    if (type !== 'stop') return;
    await provider.close();
    await opened[Symbol.asyncDispose]();
    process.exit(0);
  });
  report({ type: 'ready', address: provider.address });
} catch (error) {
  report({ type: 'startFailed', message: messageOf(error) });
  process.exitCode = 1;
  process.disconnect?.();
  await registry?.[Symbol.asyncDispose]();
}
