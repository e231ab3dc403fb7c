/** Makes cells with the expectations of their place. */
import type { Calls, Cell, Fault, RegistryKind, Transport, Where } from '../cell.js';

export const STREAMS = ['tcp', 'tls', 'ws', 'unix'] as const satisfies readonly Transport[];
export const TRANSPORTS = [...STREAMS, 'udp'] as const satisfies readonly Transport[];

/** A fault with its name in the table. */
export interface NamedFault {
  readonly title: string;
  readonly fault: Fault;
  readonly more?: Partial<Cell>;
}

export interface Place {
  readonly where: Where;
  readonly transport: Transport;
  readonly registry: RegistryKind;
  readonly calls?: Calls;
}

export function makeCell(
  { title, fault, more }: NamedFault,
  { where, transport, registry, calls = transport === 'udp' ? 'unary' : 'mixed' }: Place,
): Cell {
  const note = calls === 'streams' ? ', long streams' : '';
  return {
    name: `${where}: ${title}, ${transport}, ${registry}${note}`,
    where,
    fault,
    transport,
    calls,
    registry,
    goesOn: true,
    keepsLists: where === 'registry' || where === 'link',
    ...more,
  };
}

const CHEAP: readonly RegistryKind[] = ['file', 'etcd', 'file', 'ZooKeeper'];

/** Each fault over each transport. The registries take turns. */
export function cross(
  where: Where,
  faults: readonly NamedFault[],
  transports: readonly Transport[],
): Cell[] {
  return faults.flatMap((fault, row) =>
    transports.map((transport, column) =>
      makeCell(fault, {
        where,
        transport,
        registry: CHEAP[(row + column) % CHEAP.length] as RegistryKind,
      }),
    ),
  );
}
