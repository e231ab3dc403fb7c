/** The provider behind a server: an internal option of serve(). */
import type { EntrySelector } from './admin/admin.js';
import type { ProviderStatus } from './metrics/server-status.js';

/** The key of the option. */
export const SERVED_PROVIDER = Symbol('provider of a server');

/** What the operator services and the health check of its server need of a provider. */
export interface ServedProvider {
  status(): ProviderStatus;
  /** Whether its state is `draining`. False while it starts. */
  readonly isDraining: boolean;
  drain(): Promise<void>;
  undrain(): Promise<void>;
  setWeight(weight: number, entries?: EntrySelector): Promise<void>;
}
