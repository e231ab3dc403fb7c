// @ts-check
/**
 * A Nest microservice over TCP with JSON. Its decorators are applied by hand. It has no deadlines,
 * so its calls have none.
 */
import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, MessagePattern, Transport } from '@nestjs/microservices';
import { firstValueFrom } from 'rxjs';
import { answer } from '../message.mjs';

const PATTERN = 'Test';

class TestController {
  /** @param {import('../message.mjs').Request} request */
  test(request) {
    return answer(request);
  }
}
MessagePattern(PATTERN)(
  TestController.prototype,
  'test',
  /** @type {any} */ (Object.getOwnPropertyDescriptor(TestController.prototype, 'test')),
);
Controller()(TestController);

class TestModule {}
Module({ controllers: [TestController] })(TestModule);

export async function serve() {
  const options = { host: '127.0.0.1', port: 0 };
  const app = await NestFactory.createMicroservice(TestModule, {
    transport: Transport.TCP,
    options,
    logger: false,
  });
  await app.listen();
  const { port } = /** @type {import('node:net').AddressInfo} */ (app.unwrap().address());
  return { address: String(port), close: () => app.close() };
}

/** @type {import('../message.mjs').Peer['connect']} */
export async function connect(address) {
  const client = ClientProxyFactory.create({
    transport: Transport.TCP,
    options: { host: '127.0.0.1', port: Number(address) },
  });
  await client.connect();
  return {
    call: (request) => firstValueFrom(client.send(PATTERN, request)),
    close: () => client.close(),
  };
}
