// @ts-check
import { opener, serveAt } from './getty.mjs';
import { ofClient, ofServer } from './tls.mjs';

export const open = opener(ofClient);
export const serve = () => serveAt('tls', { tls: ofServer });
