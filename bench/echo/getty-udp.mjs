// @ts-check
import { open, serveAt } from './getty.mjs';

export { open };
export const serve = () => serveAt('udp');
