/**
 * Network namespaces: each member of a cell is a machine with an address of its own, behind one
 * router, which can drop the packets of one direction. Needs root and iproute2.
 */
import { SkipCell } from './cell.js';
import { run } from './registry-setup.js';

const ip = (...args: string[]): Promise<unknown> => run('ip', args);

export class Network {
  readonly #prefix: string;
  readonly #names: readonly string[];

  private constructor(prefix: string, names: readonly string[]) {
    this.#prefix = prefix;
    this.#names = names;
  }

  /** `names`: the machines. `id`: unique in the run. */
  static async create(id: string, names: readonly string[]): Promise<Network> {
    const network = new Network(`grid${process.pid}-${id}-`, names);
    try {
      await network.#create();
    } catch (error) {
      await network.delete();
      const { message } = error as Error;
      throw new SkipCell(`this process cannot create network namespaces: ${message.trim()}`);
    }
    return network;
  }

  async #create(): Promise<void> {
    const router = this.#namespace('router');
    await ip('netns', 'add', router);
    await ip('netns', 'exec', router, 'sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward');
    for (const [index, name] of this.#names.entries()) {
      const machine = this.#namespace(name);
      const [subnet, link] = [`10.77.${index + 1}`, `to${index}`];
      await ip('netns', 'add', machine);
      const ends = ['netns', router, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', machine];
      await ip('link', 'add', link, ...ends);
      await ip('-n', router, 'address', 'add', `${subnet}.1/24`, 'dev', link);
      await ip('-n', router, 'link', 'set', link, 'up');
      await ip('-n', machine, 'address', 'add', `${subnet}.2/24`, 'dev', 'eth0');
      await ip('-n', machine, 'link', 'set', 'eth0', 'up');
      await ip('-n', machine, 'link', 'set', 'lo', 'up');
      await ip('-n', machine, 'route', 'add', 'default', 'via', `${subnet}.1`);
    }
  }

  #namespace(name: string): string {
    return `${this.#prefix}${name}`;
  }

  host(name: string): string {
    return `10.77.${this.#names.indexOf(name) + 1}.2`;
  }

  /** The program with arguments that runs another one on a machine. */
  wrapper(name: string): readonly string[] {
    return ['ip', 'netns', 'exec', this.#namespace(name)];
  }

  /** Drops all packets from a machine, or to it. */
  drop(direction: 'from' | 'to', name: string): Promise<unknown> {
    return this.#rule('add', direction, name);
  }

  pass(direction: 'from' | 'to', name: string): Promise<unknown> {
    return this.#rule('del', direction, name);
  }

  #rule(action: 'add' | 'del', direction: 'from' | 'to', name: string): Promise<unknown> {
    const rule = [direction, this.host(name), 'blackhole', 'priority', '10'];
    return ip('-n', this.#namespace('router'), 'rule', action, ...rule);
  }

  async delete(): Promise<void> {
    for (const name of [...this.#names, 'router'])
      await ip('netns', 'delete', this.#namespace(name)).catch(() => {});
  }
}
