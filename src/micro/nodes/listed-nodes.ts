/** The lists of a registry that a program implements. */
import { refusePromise } from '../../core/callbacks.js';
import { asGettyError, type GettyError, gettyError, messageOf } from '../../core/errors.js';
import { checkObject, show } from '../../core/options.js';
import { compareNodes, hasEqualContent, isOwnList } from '../snapshots.js';
import type { Registry, ServiceNode } from '../types.js';

/** Registry.failure, also of a registry of a program, whose getter may throw. */
export function failureOf(registry: Registry): unknown {
  try {
    const { failure } = registry;
    refusePromise('REGISTRY_FAILED', 'failure of the registry', failure);
    return failure;
  } catch (error) {
    return error;
  }
}

interface CheckedList {
  readonly nodes: readonly ServiceNode[];
  /** Why a node is left out. Undefined: none is. */
  readonly failure: GettyError | undefined;
}

/**
 * Copies each list of a program once, so that later changes of the list, and properties that throw,
 * have no effect. A node keeps its copy until its content changes.
 */
export class ListedNodes {
  readonly #copies = new WeakMap<object, ServiceNode>();

  /**
   * Lists of the registries of this package are not copied. Invalid nodes are left out. Throws
   * REGISTRY_FAILED for what is no list.
   */
  read(list: unknown): CheckedList {
    if (isOwnList(list)) return { nodes: list, failure: undefined };
    const nodes: ServiceNode[] = [];
    let failure: GettyError | undefined;
    for (const given of itemsOf(list)) {
      try {
        nodes.push(this.#copyOf(given));
      } catch (error) {
        const why = `watch() of the registry gave an invalid node: ${messageOf(error)}`;
        failure ??= gettyError('REGISTRY_FAILED', why, error);
      }
    }
    return { nodes: Object.freeze(nodes), failure };
  }

  #copyOf(given: unknown): ServiceNode {
    checkObject('node', given);
    const copy = copyNode(given as ServiceNode);
    const former = this.#copies.get(given);
    if (former !== undefined && compareNodes(former, copy) === 0 && hasEqualContent(former, copy))
      return former;
    this.#copies.set(given, copy);
    return copy;
  }
}

function itemsOf(list: unknown): unknown[] {
  try {
    if (Array.isArray(list)) return [...list];
  } catch (error) {
    throw asGettyError(error, 'REGISTRY_FAILED', 'the list of watch() of the registry throws');
  }
  throw gettyError('REGISTRY_FAILED', 'watch() of the registry gave a list that is no array');
}

/** The fields are read once. Throws TypeError. */
function copyNode(given: ServiceNode): ServiceNode {
  const { id, service, group = '', version = '', protocol, address, metadata, assumed } = given;
  const node = { id, service, group, version, protocol, address };
  for (const [name, value] of Object.entries(node))
    if (typeof value !== 'string') throw typeError(name, value);
  const copy = { ...metadata };
  for (const [key, value] of Object.entries(copy))
    if (typeof value !== 'string') throw typeError(`metadata.${key}`, value);
  return Object.freeze({
    ...node,
    metadata: Object.freeze(copy),
    ...(assumed === undefined ? {} : { assumed: Object.freeze([...assumed]) }),
  });
}

const typeError = (name: string, value: unknown): TypeError =>
  new TypeError(`${name}: got ${show(value)}, expected a string`);
