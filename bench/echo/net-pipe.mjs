// @ts-check
import { opener, serveWith } from './net.mjs';

/** The pipe of node:net: it returns the bytes and does not split them into messages. */
export const serve = () => serveWith((socket) => socket.pipe(socket));
export const open = opener(true);
