/** A provider process of the demo: `provider.js REGISTRY NAME`. */
import { messageOf } from '../../core/errors.js';
import { provide } from '../../micro/index.js';
import { registry as openRegistry } from '../../registries/index.js';
import { followParent, tell } from './messages.js';
import { testService } from './test-service.js';

const [url = '', id = ''] = process.argv.slice(2);

try {
  const registry = await openRegistry(url);
  const provider = await provide({ registry, id, address: 'tcp://127.0.0.1:0', services: [testService()] });
  followParent(async ({ type }) => {
    if (type !== 'stop') return;
    await provider.close();
    await registry[Symbol.asyncDispose]();
    process.exit(0);
  });
  tell({ type: 'ready', address: provider.address });
} catch (error) {
  tell({ type: 'failure', message: messageOf(error) });
  process.exitCode = 1;
  process.disconnect?.();
}
