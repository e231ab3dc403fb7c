/**
 * Calls in both directions over one connection. An agent connects to the office and offers it a
 * service; the office calls it back while it handles its call, and calls all agents when there is
 * news.
 *
 *   npm run example -- rpc-bidirectional      an office and two agents in one
 *   npm run example -- rpc-bidirectional --office --address tcp://127.0.0.1:8849
 *   npm run example -- rpc-bidirectional --agent Ann --address tcp://127.0.0.1:8849
 */
import { parseArgs } from 'node:util';
import {
  type Channel,
  connect,
  contract,
  implement,
  type RpcClient,
  type RpcServer,
  serve,
  unary,
} from 'getty-ts/rpc';

const { values } = parseArgs({
  options: {
    address: { type: 'string', default: 'tcp://127.0.0.1:0' },
    office: { type: 'boolean', default: false },
    agent: { type: 'string' },
  },
});

/** What the office offers to agents. */
const Office = contract('Office', { join: unary<string, string>() });
/** What agents offer to the office. */
const Agent = contract('Agent', { mood: unary<string, string>(), news: unary<string, string>() });

/** Whose connection is whose. */
const agents = new Map<Channel, string>();

async function openOffice(): Promise<RpcServer> {
  const office = implement(Office, {
    async join(name, context) {
      // The caller is called back, on the same connection; it gets no more time than it has given
      // us.
      const mood = await context.channel
        .stub(Agent)
        .mood(`How are you, ${name}?`, { parent: context });
      const news = `${name} is in, and feels ${mood}`;
      console.log(news);
      await tellAll(news);
      agents.set(context.channel, name);
      return `welcome, ${name}; with you we are ${agents.size}`;
    },
  });
  return serve(values.address, [office]);
}

/** Whoever is gone, or does not answer within a second, must not hold up the others. */
async function tellAll(news: string): Promise<void> {
  for (const channel of agents.keys()) if (channel.closed) agents.delete(channel);
  const told = [...agents].map(async ([channel, name]) => {
    const answer = await channel.stub(Agent).news(news, { timeout: 1_000 });
    console.log(`${name} says: ${answer}`);
  });
  await Promise.allSettled(told);
}

async function beAgent(name: string, address: string): Promise<RpcClient> {
  const agent = implement(Agent, {
    mood: () => (name === 'Ann' ? 'fine' : 'sleepy'),
    news(text) {
      console.log(`${name} hears: ${text}`);
      return 'thanks';
    },
  });
  // One connection: with the two that are usual, the office would know of two agents here, and tell
  // the news to one.
  const client = await connect(address, { connections: 1, services: [agent] });
  console.log(`${name} is told: ${await client.stub(Office).join(name)}`);
  return client;
}

if (values.agent !== undefined) {
  const client = await beAgent(values.agent, values.address);
  process.once('SIGINT', () => void client.close());
} else {
  const server = await openOffice();
  console.log(`office at ${server.address}`);
  if (values.office) process.once('SIGINT', () => void server.close());
  else {
    const clients = [await beAgent('Ann', server.address), await beAgent('Ben', server.address)];
    await Promise.all(clients.map((client) => client.close()));
    await server.close();
  }
}
