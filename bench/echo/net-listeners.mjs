// @ts-check
/**
 * Idle sockets of node:net with five listeners each, as in a program that handles all events. They
 * answer heartbeats, and have no idle timeout.
 */
import { serveWith } from './net.mjs';

const nothing = () => {};
export const serve = () =>
  serveWith((socket) =>
    socket
      .on('data', (chunk) => socket.write(chunk))
      .on('end', nothing)
      .on('error', nothing)
      .on('close', nothing)
      .on('drain', nothing),
  );
