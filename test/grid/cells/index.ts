/** All cells of the grid. */
import type { Cell } from '../cell.js';
import { REGISTRY_SCENARIOS } from '../scale/large-registry.js';
import type { Scenario } from '../scale/scenario.js';
import { SESSION_SCENARIOS } from '../scale/sessions.js';
import { CLIENT_CELLS } from './client-cells.js';
import { LINK_CELLS } from './link-cells.js';
import { PROVIDER_CELLS } from './provider-cells.js';
import { REGISTRY_CELLS } from './registry-cells.js';

export const CELLS: readonly (Cell | Scenario)[] = [
  ...REGISTRY_CELLS,
  ...PROVIDER_CELLS,
  ...LINK_CELLS,
  ...CLIENT_CELLS,
  ...SESSION_SCENARIOS,
  ...REGISTRY_SCENARIOS,
];
