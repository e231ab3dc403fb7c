// @ts-check
/** Idle sockets as a careful program keeps them: with five listeners each. */
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
