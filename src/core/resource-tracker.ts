/**
 * Where the testing kit learns what this process holds. Without the kit `resources.tracker` is
 * undefined, and each place that creates a resource only reads that. Messages and calls are not
 * tracked: the kit asks the channels for the calls in flight.
 */

/** What is tracked: resources that stay until something ends them. */
export type ResourceKind = 'endpoint' | 'session' | 'channel' | 'consumer' | 'timer';

export interface ResourceTracker {
  /**
   * Called when a resource is created, and for a channel again at each change of its state until it
   * is closed. A repeated call must have no effect. It must not throw.
   */
  onOpen(kind: ResourceKind, resource: object): void;
  /** Called when the resource holds nothing any more. Not called for a timer. */
  onClose(resource: object): void;
}

/** An object, because an import cannot be assigned. */
export const resources: { tracker: ResourceTracker | undefined } = { tracker: undefined };
