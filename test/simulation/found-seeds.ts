/**
 * Seeds that have found a fault of this package or of its checks. The suite simulates them again.
 */

interface FoundSeed {
  readonly seed: number;
  /** How long the faults last, in virtual time. */
  readonly seconds: number;
  readonly finding: string;
}

export const FOUND_SEEDS: readonly FoundSeed[] = [
  {
    seed: 9011,
    seconds: 36,
    finding: 'calls were checked while the datagram of a call without an answer was under way',
  },
];
