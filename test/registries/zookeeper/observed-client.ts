/** A ZooKeeper client whose states a test can wait for. */
import {
  type ClientState,
  ZooKeeperClient,
  type ZooKeeperClientOptions,
} from '../../../src/registries/zookeeper/index.js';
import { Inbox } from '../../fixtures/waiting.js';

/** A client, its states and the causes of their changes. */
export class ObservedClient {
  readonly states: Inbox<ClientState> = new Inbox('a change of state', () =>
    this.states.all.join(' '),
  );
  readonly causes: (Error | undefined)[] = [];
  readonly client: ZooKeeperClient;

  constructor(hosts: string, options: ZooKeeperClientOptions) {
    const onState = (state: ClientState, cause?: Error): void => {
      this.causes.push(cause);
      this.states.push(state);
    };
    this.client = new ZooKeeperClient(hosts, {
      sessionTimeout: 20_000,
      initialDelay: 20,
      ...options,
      onState,
    });
  }

  /** Reads states until one is `state`. */
  async until(state: ClientState): Promise<void> {
    while ((await this.states.next()) !== state) {}
  }
}

/** The properties of an observed client, and until() as a function. */
export function partsOf(
  observed: ObservedClient,
): Pick<ObservedClient, 'client' | 'states' | 'causes' | 'until'> {
  const { client, states, causes } = observed;
  return { client, states, causes, until: (state) => observed.until(state) };
}
