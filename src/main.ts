import { setFlagsFromString } from 'node:v8';
import { runAgent } from './agent/run.ts';
import { type Config, loadConfig } from './config.ts';
import { runController } from './controller/run.ts';
import { KubeConfigError } from './kube/config.ts';
import { createLogger } from './log.ts';
import { SettingsError } from './runtime/settings.ts';

const EXIT_FAILED = 1;
const EXIT_BAD_SETTINGS = 2;

// Many short commands at once make V8 grow its heap to several times what lives in it, and it never gives that back.
setFlagsFromString('--optimize-for-size');

process.exit(await main());

async function main(): Promise<number> {
  try {
    const config = loadConfig();
    if (config.command !== 'print') return await run(config);
    console.log(config.text);
    return 0;
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    console.error(error.message);
    return EXIT_BAD_SETTINGS;
  }
}

/** Runs the subcommand until it ends or a signal stops it; a second signal ends the process at once. */
async function run(config: Config): Promise<number> {
  const log = createLogger(config);
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      if (stop.signal.aborted) process.exit(EXIT_FAILED);
      log.info({ signal: name }, 'stopping');
      stop.abort();
    });
  }
  for (const event of ['unhandledRejection', 'uncaughtException'] as const) {
    process.on(event, (err: unknown) => {
      log.fatal({ err }, 'unexpected failure');
      process.exit(EXIT_FAILED);
    });
  }
  try {
    return await (config.command === 'controller' ? runController(config, stop.signal) : runAgent(config, stop.signal));
  } catch (err) {
    if (err instanceof KubeConfigError) console.error(err.message);
    else log.fatal({ err }, 'could not run');
    return EXIT_FAILED;
  }
}
