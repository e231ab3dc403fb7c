/** Makes the picker of a balancer that a program gives. */
import { refusePromise } from '../../core/callbacks.js';
import { badOption } from '../../core/options.js';
import type { Balancer, Picker } from '../types.js';

/** Throws what `balancer` throws, and BAD_OPTION when it returns no function. */
export function makePicker(balancer: Balancer): Picker {
  const picker = balancer();
  if (typeof picker === 'function') return picker;
  refusePromise('BAD_OPTION', 'the balancer', picker);
  throw badOption('the result of balancer()', picker, 'a picker, which is a function');
}
