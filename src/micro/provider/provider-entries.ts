/** The entries of a provider in its registry. Changes of them run one after another. */
import { gettyError, messageOf } from '../../core/errors.js';
import { guardedLogger, type Logger } from '../../core/logger.js';
import { atMost, within } from '../../core/timers.js';
import { failureOf } from '../nodes/listed-nodes.js';
import { nodeKey } from '../snapshots.js';
import type { NodeRegistration, Registry, ServiceNode } from '../types.js';
import { type EntryOwner, leaveEntry, takeEntry } from './entry-owners.js';
import {
  disposeInTime,
  isLeft,
  lateError,
  REGISTRY_TIMEOUT,
  registerInTime,
} from './registration-checks.js';

/** A node and the result of its Registry.register(). */
interface Registered {
  readonly node: ServiceNode;
  readonly registration: NodeRegistration;
}

/** What drain() has withdrawn. */
interface Withdrawn extends Registered {
  readonly wasPublished: boolean;
}

export interface ProviderEntriesSetup {
  readonly registry: Registry;
  readonly logger: Logger | undefined;
  /** Where the provider listens, for messages. */
  readonly address: string;
  /** Called when `published` has changed; not after close(). */
  onChange(): void;
}

export class ProviderEntries implements EntryOwner {
  readonly #setup: ProviderEntriesSetup;
  #nodes: readonly ServiceNode[];
  #registered: readonly Registered[] = [];
  /** What drain() has withdrawn; a registry that is away removes the entries later. */
  #withdrawn: readonly Withdrawn[] = [];
  /**
   * The nodes whose entries the registry has not confirmed or has lost, or another provider has
   * taken over, or drain() or close() has removed.
   */
  readonly #unpublished: Set<ServiceNode>;
  /** Changes of several entries that have not settled. */
  #changing = 0;
  /** Settles after the last change. */
  #lastChange: Promise<unknown> = Promise.resolve();
  #isDraining = false;
  #isClosed = false;

  constructor(nodes: readonly ServiceNode[], setup: ProviderEntriesSetup) {
    this.#nodes = nodes;
    this.#setup = setup;
    this.#unpublished = new Set(nodes);
  }

  get nodes(): readonly ServiceNode[] {
    return this.#nodes;
  }

  get published(): readonly ServiceNode[] {
    const left = this.#left.filter(({ wasPublished }) => wasPublished);
    const keys = new Set(left.map(({ node }) => nodeKey(node)));
    return this.#nodes.filter((node) => !this.#unpublished.has(node) || keys.has(nodeKey(node)));
  }

  /** The withdrawn entries that the registry has not removed yet. */
  get #left(): readonly Withdrawn[] {
    return this.#withdrawn.filter(({ registration }) => isLeft(registration));
  }

  /** Whether the entries are removed, or are being removed. */
  get isDraining(): boolean {
    return this.#isDraining || this.#isClosed;
  }

  /** Runs `change` after those before it. Rejects with ENDPOINT_CLOSED after stop(). */
  enqueue<T>(change: () => T | Promise<T>): Promise<T> {
    const done = this.#lastChange.then(() => {
      if (this.#isClosed)
        throw gettyError('ENDPOINT_CLOSED', `the provider at ${this.#setup.address} is closed`);
      return change();
    });
    this.#lastChange = done.catch(() => {});
    return done;
  }

  /** The first registration of all nodes. */
  publish(): Promise<void> {
    return this.enqueue(async () => {
      await this.#register(this.#nodes);
      this.#setup.onChange();
    });
  }

  /**
   * Replaces the nodes. While the provider is drained, they are registered by undrain(). Must run
   * in enqueue().
   */
  async replace(nodes: readonly ServiceNode[]): Promise<void> {
    if (this.#isDraining) {
      for (const node of nodes) this.#unpublished.add(node);
    } else {
      try {
        await this.#register(nodes);
      } catch (error) {
        // Some of the new nodes may be registered. The old ones replace them.
        await this.#register(this.#nodes).catch(() => {});
        throw error;
      }
    }
    this.#nodes = nodes;
    for (const node of [...this.#unpublished])
      if (!nodes.includes(node)) this.#unpublished.delete(node);
    this.#setup.onChange();
  }

  drain(): Promise<void> {
    return this.enqueue(async () => {
      // Entries are left only if an earlier drain() could not remove them.
      const isDrained = this.#registered.length === 0 && this.#withdrawn.length === 0;
      if (this.#isDraining && isDrained) return;
      this.#isDraining = true;
      this.#changing++;
      const registered = this.#withdrawable();
      const failure = await this.#deregister();
      this.#withdrawn = registered;
      this.#withdrawn = this.#left;
      this.#changing--;
      this.#setup.onChange();
      if (failure !== undefined) throw this.#notDeregistered(failure.reason);
      if (this.#withdrawn.length > 0) throw this.#notRemoved(this.#withdrawn.length);
    });
  }

  /** The registered entries, and those that an earlier drain() has withdrawn. */
  #withdrawable(): Withdrawn[] {
    const published = new Set(this.published);
    const entries = new Map(this.#withdrawn.map((entry) => [entry.registration, entry]));
    for (const { node, registration } of this.#registered)
      if (!entries.has(registration))
        entries.set(registration, { node, registration, wasPublished: published.has(node) });
    return [...entries.values()];
  }

  undrain(): Promise<void> {
    return this.enqueue(async () => {
      if (!this.#isDraining) return;
      this.#isDraining = false;
      this.#changing++;
      try {
        await this.#register(this.#nodes);
        this.#withdrawn = [];
      } catch (error) {
        this.#isDraining = true;
        // The entries that are registered would get calls. If some are left, drain() tries again.
        await this.#deregister();
        throw error;
      } finally {
        this.#changing--;
        this.#setup.onChange();
      }
    });
  }

  /** No change begins after this. */
  stop(): void {
    this.#isClosed = true;
  }

  /**
   * Removes all entries, after the changes before. Resolves with the error if it could not, or if
   * the registry needs longer than REGISTRY_TIMEOUT; the removal goes on then.
   */
  async close(): Promise<Error | undefined> {
    this.stop();
    const removal = this.#lastChange.then(() => this.#deregister());
    try {
      const failure = await within(REGISTRY_TIMEOUT, removal, lateError);
      return failure === undefined ? undefined : this.#notDeregistered(failure.reason);
    } catch (error) {
      return this.#notDeregistered(error);
    }
  }

  #notDeregistered(reason: unknown, message = messageOf(reason)): Error {
    return gettyError(
      'REGISTRY_FAILED',
      `the provider at ${this.#setup.address} could not deregister: ${message}`,
      reason,
    );
  }

  #notRemoved(count: number): Error {
    const failure = failureOf(this.#setup.registry);
    const state = `its registry has not removed its entries yet (${count})`;
    return this.#notDeregistered(
      failure,
      failure === undefined ? state : `${state}: ${messageOf(failure)}`,
    );
  }

  #setPublished(node: ServiceNode, isPublished: boolean): void {
    const wasPublished = !this.#unpublished.has(node);
    if (isPublished) this.#unpublished.delete(node);
    else this.#unpublished.add(node);
    // A change of several entries notifies once, at its end.
    if (
      wasPublished !== isPublished &&
      this.#changing === 0 &&
      !this.#isClosed &&
      this.#nodes.includes(node)
    )
      this.#setup.onChange();
  }

  /**
   * Registers all nodes. If one fails, registers the others too, and then rejects. The newest
   * registration of a node owns its entry, so an older one need not be disposed. If a node fails,
   * all are kept: its older registration still owns its entry.
   */
  async #register(nodes: readonly ServiceNode[]): Promise<void> {
    this.#changing++;
    const outcomes = await Promise.allSettled(nodes.map((node) => this.#registerNode(node)));
    this.#changing--;
    const registered = outcomes.flatMap((outcome) =>
      outcome.status === 'fulfilled' ? [outcome.value] : [],
    );
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    this.#registered = failed === undefined ? registered : [...registered, ...this.#registered];
    if (failed !== undefined) throw failed.reason;
  }

  async #registerNode(node: ServiceNode): Promise<Registered> {
    const { registry } = this.#setup;
    let wasNotified = false;
    const onPublished = (isPublished: boolean): void => {
      wasNotified = true;
      this.#setPublished(node, isPublished);
    };
    const registration = await registerInTime(registry, node, onPublished);
    // A registry that does not call the listener has published the node by now.
    if (!wasNotified) this.#setPublished(node, true);
    takeEntry(registry, node, this);
    return { node, registration };
  }

  /**
   * Removes all entries. An unreachable registry removes them later; they stay in `published`, and
   * the next call tries again. So do those whose removal takes longer than REGISTRY_TIMEOUT.
   * Resolves with the first failure.
   */
  async #deregister(): Promise<PromiseRejectedResult | undefined> {
    const { registry } = this.#setup;
    // Another provider publishes the entry again, which may take longer than the removal.
    await atMost(
      REGISTRY_TIMEOUT,
      Promise.all(this.#nodes.map((node) => leaveEntry(registry, node, this))),
    );
    const registered = this.#registered;
    const outcomes = await Promise.allSettled(
      registered.map(({ registration }) => disposeInTime(registration)),
    );
    this.#registered = registered.filter((_, index) => outcomes[index]?.status === 'rejected');
    const left = new Set(this.#registered.map(({ node }) => nodeKey(node)));
    for (const node of this.#nodes) if (!left.has(nodeKey(node))) this.#unpublished.add(node);
    return outcomes.find((outcome) => outcome.status === 'rejected');
  }

  onTakenOver(node: ServiceNode): void {
    guardedLogger(this.#setup.logger).warn(
      { node },
      'provider: another provider of this process has published the node, because its id is the same',
    );
    this.#setPublished(this.#ownNode(node), false);
  }

  /** The node of this provider that has the same entry. */
  #ownNode(node: ServiceNode): ServiceNode {
    const key = nodeKey(node);
    return this.#nodes.find((own) => nodeKey(own) === key) ?? node;
  }

  republish(node: ServiceNode): Promise<boolean> {
    return this.enqueue(async () => {
      if (this.#isDraining) return false;
      const registered = await this.#registerNode(this.#ownNode(node));
      const key = nodeKey(node);
      const others = this.#registered.filter((other) => nodeKey(other.node) !== key);
      this.#registered = [registered, ...others];
      return true;
    }).catch(() => false);
  }
}
