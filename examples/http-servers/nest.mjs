/**
 * An rpc server at a path of a Nest application. Without a compiler, the decorators are applied by
 * hand; in TypeScript they are `@Controller()`, `@Get()` and `@Module()`.
 *
 *   npm run example -- http-servers --framework nest --port 8080
 */
import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { HttpAdapterHost, NestFactory } from '@nestjs/core';
import { serve } from '../../dist/rpc/index.js';
import { greeter } from './greeter.mjs';
import { flags, untilInterrupted } from './program.mjs';

class AppController {
  hello() {
    return 'hello from Nest';
  }
}
const { prototype } = AppController;
Get()(prototype, 'hello', Object.getOwnPropertyDescriptor(prototype, 'hello'));
Controller()(AppController);

/** Begins and ends with the application. */
class RpcServer {
  constructor(adapterHost) {
    this.adapterHost = adapterHost;
  }

  async onApplicationBootstrap() {
    const http = this.adapterHost.httpAdapter.getHttpServer();
    this.server = await serve({ server: http, path: '/rpc' }, [greeter]);
  }

  // Before Nest closes the HTTP server, which waits for its last connection.
  async onModuleDestroy() {
    await this.server.close();
  }
}

class AppModule {}
Module({
  controllers: [AppController],
  providers: [
    {
      provide: RpcServer,
      useFactory: (adapterHost) => new RpcServer(adapterHost),
      inject: [HttpAdapterHost],
    },
  ],
})(AppModule);

const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
await app.listen(Number(flags().port), '127.0.0.1');
console.log(`calls at ${app.get(RpcServer).server.address}`);

await untilInterrupted();
await app.close();
