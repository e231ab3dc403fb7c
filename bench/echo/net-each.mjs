// @ts-check
import { opener, serveEach } from './net.mjs';

export const serve = serveEach;
export const open = opener(false);
