// @ts-check
/** Idle sockets of node:net with five listeners each, as in a program that handles all events. */
import { serveWith } from './net.mjs';

const nothing = () => {};
export const serve = () =>
  serveWith((socket) =>
    socket
      .on('data', nothing)
      .on('end', nothing)
      .on('error', nothing)
      .on('close', nothing)
      .on('drain', nothing),
  );
