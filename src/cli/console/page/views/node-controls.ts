/** Drains a node, and changes its weight. */
import { messageOf } from '../../../../core/errors.js';
import { MAX_WEIGHT } from '../../limits.js';
import { type AdminRequest, isAnswering, type NodeRow } from '../../types.js';
import { button, h, newId, setText } from '../dom.js';
import type { FleetStore } from '../fleet-store.js';

export class NodeControls {
  readonly element: HTMLElement;
  readonly #store: FleetStore;
  readonly #key: string;
  readonly #drain: HTMLButtonElement;
  readonly #undrain: HTMLButtonElement;
  readonly #apply: HTMLButtonElement;
  readonly #weight = h('input', {
    type: 'number',
    min: '0',
    max: String(MAX_WEIGHT),
    step: '1',
    id: newId(),
  });
  readonly #result = h('p', { class: 'note', role: 'status' });
  #isRunning = false;
  /** True: the input has shown a weight. Later weights must not replace what the user types. */
  #hasWeight = false;

  constructor(store: FleetStore, key: string) {
    this.#store = store;
    this.#key = key;
    this.#drain = button('Drain', () => this.#run({ node: key, action: 'drain' }), {
      class: 'danger',
    });
    this.#undrain = button('Undrain', () => this.#run({ node: key, action: 'undrain' }));
    this.#apply = button('Set weight', () => this.#setWeight());
    this.element = h(
      'div',
      { class: 'controls' },
      this.#drain,
      this.#undrain,
      h('label', { for: this.#weight.id }, 'Weight'),
      this.#weight,
      this.#apply,
      this.#result,
    );
  }

  show(row: NodeRow | undefined): void {
    const isAllowed = this.#store.isAdminAllowed;
    const isPossible = isAllowed && row !== undefined && isAnswering(row.state) && !this.#isRunning;
    this.#drain.disabled = !isPossible || row.state === 'draining';
    this.#undrain.disabled = !isPossible || row.state !== 'draining';
    this.#apply.disabled = !isPossible;
    this.#weight.disabled = !isPossible;
    const weight = row?.services.find((service) => service.weight !== undefined)?.weight;
    if (!this.#hasWeight && weight !== undefined) {
      this.#weight.value = String(weight);
      this.#hasWeight = true;
    }
    if (!isAllowed) setText(this.#result, 'Read only: start the console with --allow-admin.');
  }

  #setWeight(): void {
    const weight = Number(this.#weight.value);
    if (this.#weight.value === '' || !Number.isInteger(weight) || weight < 0 || weight > MAX_WEIGHT)
      setText(this.#result, `The weight is a whole number from 0 to ${MAX_WEIGHT}.`);
    else this.#run({ node: this.#key, action: 'weight', weight });
  }

  async #run(request: AdminRequest): Promise<void> {
    this.#isRunning = true;
    setText(this.#result, 'Asking the node …');
    try {
      await this.#store.console.admin(request);
      setText(this.#result, 'Done.');
    } catch (error) {
      setText(this.#result, `Failed: ${messageOf(error)}`);
    } finally {
      this.#isRunning = false;
    }
  }
}
