/** simulate(), which needs a part of node:async_hooks that not every runtime has. */
import { expect, test } from 'vitest';
import { simulate } from '../../../src/testing/simulation/index.js';
import { connect, lines, serve } from '../../../src/transport/index.js';
import { Inbox } from '../../fixtures/waiting.js';

test('a host answers', async () => {
  const { value } = await simulate({}, async ({ host }) => {
    const server = host('server', () =>
      serve('sim://server:1000', {
        codec: lines(),
        listener: { onMessage: (session, line) => void session.write(`${line}!`) },
      }),
    );
    await server.ready();
    const answers = new Inbox<string>('an answer');
    await using client = await connect('sim://server:1000', {
      codec: lines(),
      listener: { onMessage: (_, line) => answers.push(line) },
    });
    (await client.session()).write('hello');
    return answers.next();
  });
  expect(value).toBe('hello!');
});
