// The whole operator in one file: it starts faster and needs a third less memory than the same code from node_modules.
import path from 'node:path';
import { build } from 'esbuild';

const repositoryPath = path.resolve(import.meta.dirname, '..');

// CommonJS dependencies call require for Node's own modules; an older Node would fail somewhere in a dependency.
const banner = `import{createRequire}from'node:module';const require=createRequire(import.meta.url);
if(parseInt(process.versions.node)<24){console.error('btrfs-operator needs Node.js 24 or newer, this is '+process.version);process.exit(1)}`;

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
  banner: { js: banner },
});
