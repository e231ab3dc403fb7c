/** Simulations: hosts on one network in one process, in virtual time. */

export type { Random } from '../random.js';
export type { Duration } from './durations.js';
export { SimulationError } from './failure.js';
export { LINK_DEFAULTS } from './network/link.js';
export { SIMULATION_DEFAULTS, simulate } from './simulate.js';
export type {
  Clock,
  Host,
  HostName,
  LinkOptions,
  Network,
  Simulation,
  SimulationOptions,
  SimulationResult,
} from './types.js';
