// @ts-check
import { opener, serveCoalesced } from './net.mjs';

export const serve = serveCoalesced;
export const open = opener(true);
