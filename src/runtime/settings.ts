import { parseArgs } from 'node:util';
import { z } from 'zod';

/** Settings that can't be run with; each line of the message names a setting, its value and what is allowed. */
export class SettingsError extends Error {}

/** The type of a setting's value and the words for what it may be. */
export interface Kind<T> {
  readonly schema: z.ZodType<T, string>;
  readonly allowed: string;
}

/** A value that a flag or an environment variable may give. */
export interface Setting<T> extends Kind<T> {
  readonly description: string;
  /** As a user would write it; `undefined` for what must be given. */
  readonly default: string | undefined;
  /** Environment variable; `PREFIX_NAME_OF_SETTING` if absent. */
  readonly env?: string;
}

export type Settings = Readonly<Record<string, Setting<unknown>>>;

export type SettingValues<S extends Settings> = {
  readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never;
};

export type Environment = Readonly<Record<string, string | undefined>>;

export function setting<T>(
  kind: Kind<T>,
  byDefault: string | undefined,
  description: string,
  env?: string,
): Setting<T> {
  return { ...kind, default: byDefault, description, ...(env === undefined ? {} : { env }) };
}

/** A number without sign, as Helm prints one (`1e-06`); `unit` begins the words for what is allowed. */
export function number(min: number, max: number, unit: string, pattern = /^\d+(\.\d+)?(e[+-]\d{1,3})?$/): Kind<number> {
  const schema = z.string().regex(pattern).transform(Number).pipe(z.number().min(min).max(max));
  return { schema, allowed: `${unit} from ${min} to ${max}` };
}

export function oneOf<const T extends string>(...values: readonly T[]): Kind<T> {
  const schema = z
    .string()
    .refine((value) => (values as readonly string[]).includes(value))
    .transform((value) => value as T);
  return { schema, allowed: `one of ${values.join(', ')}` };
}

export function text(pattern: RegExp, allowed: string): Kind<string> {
  return { schema: z.string().regex(pattern), allowed };
}

export interface SettingSources {
  readonly flags: readonly string[];
  readonly environment: Environment;
  /** What the names of environment variables begin with, e.g. `BTRFS_OPERATOR`. */
  readonly prefix: string;
}

/**
 * The value of each setting, frozen: its flag, else its environment variable (an empty one counts as unset), else its
 * default; or the word of the flag `--help` or `--version`. Throws {@link SettingsError}.
 */
export function readSettings<S extends Settings>(
  settings: S,
  sources: SettingSources,
): SettingValues<S> | 'help' | 'version' {
  const given = parseFlags(sources.flags, settings);
  if (given.has('help')) return 'help';
  if (given.has('version')) return 'version';
  const values: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [name, setting] of Object.entries(settings)) {
    const [flagName, envName] = [flagOf(name), envOf(name, setting, sources.prefix)];
    const byFlag = given.get(flagName);
    const value = byFlag ?? (sources.environment[envName] || setting.default);
    const parsed = setting.schema.safeParse(value);
    if (parsed.success) values[name] = parsed.data;
    else if (value === undefined) problems.push(`--${flagName} (or ${envName}) is missing: give ${setting.allowed}`);
    else
      problems.push(
        `${byFlag === undefined ? envName : `--${flagName}`}: "${value}" is not allowed: give ${setting.allowed}`,
      );
  }
  if (problems.length > 0) throw new SettingsError(problems.join('\n'));
  return Object.freeze(values) as SettingValues<S>;
}

/** One paragraph for each setting: flag, description, what is allowed, default, environment variable. */
export function describeSettings(settings: Settings, prefix: string): string {
  return Object.entries(settings)
    .map(([name, setting]) => {
      const byDefault = setting.default === undefined ? 'required' : `default: ${setting.default || 'none'}`;
      const values = `${setting.allowed}; ${byDefault}; env: ${envOf(name, setting, prefix)}`;
      return [`  --${flagOf(name)}`, `      ${setting.description}`, `      ${values}`].join('\n');
    })
    .join('\n');
}

function parseFlags(args: readonly string[], settings: Settings): ReadonlyMap<string, string> {
  const options = Object.fromEntries(Object.keys(settings).map((name) => [flagOf(name), { type: 'string' as const }]));
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { ...options, help: { type: 'boolean' }, version: { type: 'boolean' } },
    });
    return new Map(Object.entries(values).map(([name, value]) => [name, String(value)]));
  } catch (error) {
    // parseArgs adds hints that speak of its own options; the first sentence names the argument.
    const [sentence = ''] = (error instanceof Error ? error.message : String(error)).split(/[.\n]/);
    throw new SettingsError(`${sentence}; --help lists the flags`, { cause: error });
  }
}

function flagOf(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, '$1-$2').toLowerCase();
}

function envOf(name: string, { env }: Setting<unknown>, prefix: string): string {
  return env ?? `${prefix}_${flagOf(name).replaceAll('-', '_').toUpperCase()}`;
}
