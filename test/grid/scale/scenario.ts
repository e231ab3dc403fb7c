/** Cells of large numbers. Each has a program of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CellResult, SkipCell } from '../cell.js';

export interface ScenarioReport {
  readonly problems: readonly string[];
  readonly remarks: readonly string[];
}

export interface Scenario {
  readonly name: string;
  readonly where: 'scale';
  readonly transport: string;
  readonly registry: string;
  readonly calls: string;
  readonly isLong?: boolean;
  /** Rejects with SkipCell. `folder`: for its files; it is deleted afterwards. */
  run(folder: string): Promise<ScenarioReport>;
}

export async function runScenario(scenario: Scenario): Promise<CellResult> {
  const { name, where, transport, registry, calls } = scenario;
  const base = { name, where, transport, registry, calls };
  const folder = mkdtempSync(join(tmpdir(), 'getty-grid-'));
  const start = performance.now();
  try {
    const { problems, remarks } = await scenario.run(folder);
    const outcome = problems.length === 0 ? 'passed' : 'failed';
    return { ...base, outcome, problems, remarks, duration: performance.now() - start };
  } catch (error) {
    const isSkipped = error instanceof SkipCell;
    const problems = [isSkipped ? error.message : `${(error as Error).stack}`];
    const outcome = isSkipped ? 'skipped' : 'failed';
    return { ...base, outcome, problems, duration: performance.now() - start };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
