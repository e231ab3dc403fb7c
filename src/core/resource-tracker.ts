/**
 * Where the testing kit learns what this process holds. Without the kit `resources.tracker` is
 * undefined, and each place that creates a resource only reads that. Messages and calls are not
 * tracked: the kit asks the channels for the calls in flight.
 */

/** What is tracked: each has an end, which a program can forget. */
export type ResourceKind = 'endpoint' | 'session' | 'channel' | 'consumer' | 'timer';

export interface ResourceTracker {
  /** Called when a resource is created; for a channel also later. It must not throw. */
  onOpen(kind: ResourceKind, resource: object): void;
  /** Called when the resource holds nothing any more. Not called for a timer. */
  onClose(resource: object): void;
}

/** An object, because an import cannot be assigned. */
export const resources: { tracker: ResourceTracker | undefined } = { tracker: undefined };
