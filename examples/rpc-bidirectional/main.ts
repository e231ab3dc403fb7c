/**
 * Calls in both directions over one connection. An agent connects to the office and offers it a
 * service. The office calls the agent back while it handles the agent's call, and calls all agents
 * with news.
 *
 *   npm run example -- rpc-bidirectional      an office and two agents in one process
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

/** The service of the office, for agents. */
const Office = contract('Office', { join: unary<string, string>() });
/** The service of each agent, for the office. */
const Agent = contract('Agent', { mood: unary<string, string>(), news: unary<string, string>() });

/** The agents by connection. */
const agents = new Map<Channel, string>();

async function openOffice(): Promise<RpcServer> {
  const office = implement(Office, {
    async join(name, context) {
      // Calls the caller back on the same connection, within the time that is left of its call.
      const mood = await context.channel
        .stub(Agent)
        .mood(`How are you, ${name}?`, { parent: context });
      const news = `${name} is in, and feels ${mood}`;
      console.log(news);
      await sendToAll(news);
      agents.set(context.channel, name);
      return `welcome, ${name}; with you we are ${agents.size}`;
    },
  });
  return serve(values.address, [office]);
}

/** An agent that is gone, or does not answer within 1 s, does not delay the others. */
async function sendToAll(news: string): Promise<void> {
  for (const channel of agents.keys()) if (channel.closed) agents.delete(channel);
  const calls = [...agents].map(async ([channel, name]) => {
    const answer = await channel.stub(Agent).news(news, { timeout: 1_000 });
    console.log(`${name} says: ${answer}`);
  });
  await Promise.allSettled(calls);
}

async function runAgent(name: string, address: string): Promise<RpcClient> {
  const agent = implement(Agent, {
    mood: () => (name === 'Ann' ? 'fine' : 'sleepy'),
    news(text) {
      console.log(`${name} hears: ${text}`);
      return 'thanks';
    },
  });
  // The office identifies an agent by its connection, so an agent must have one only.
  const client = await connect(address, { connections: 1, services: [agent] });
  console.log(`${name} is told: ${await client.stub(Office).join(name)}`);
  return client;
}

if (values.agent !== undefined) {
  const client = await runAgent(values.agent, values.address);
  process.once('SIGINT', () => void client.close());
} else {
  const server = await openOffice();
  console.log(`office at ${server.address}`);
  if (values.office) process.once('SIGINT', () => void server.close());
  else {
    const clients = [await runAgent('Ann', server.address), await runAgent('Ben', server.address)];
    await Promise.all(clients.map((client) => client.close()));
    await server.close();
  }
}
