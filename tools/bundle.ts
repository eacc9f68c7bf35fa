// The whole operator in one file: it starts faster and needs a third less memory than the same code from node_modules.
import path from 'node:path';
import { build } from 'esbuild';

const repositoryPath = path.resolve(import.meta.dirname, '..');

await build({
  absWorkingDir: repositoryPath,
  entryPoints: ['src/main.ts'],
  outfile: 'dist/btrfs-operator.js',
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  // Names stay, so that a stack trace can be read without the map; with --enable-source-maps it shows our lines.
  minifySyntax: true,
  minifyWhitespace: true,
  sourcemap: 'linked',
  sourcesContent: false,
  legalComments: 'linked',
  logLevel: 'warning',
  // CommonJS dependencies call require for Node's own modules.
  banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
});
