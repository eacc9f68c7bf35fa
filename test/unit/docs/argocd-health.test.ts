import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type AnyObject, type KStatus, kstatusOf } from '../../builders/kstatus.ts';

const scriptPath = path.resolve(import.meta.dirname, '../../../docs/argocd-health.lua');
const script = readFileSync(scriptPath, 'utf8');

/** What Argo CD shows for what kstatus says. */
const HEALTH: Readonly<Record<KStatus, string>> = {
  InProgress: 'Progressing',
  Terminating: 'Progressing',
  Failed: 'Degraded',
  Current: 'Healthy',
};

/** A value as Lua writes it. */
function luaOf(value: unknown): string {
  if (Array.isArray(value)) return `{${value.map(luaOf).join(',')}}`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  return `{${entries.map(([key, each]) => `[${JSON.stringify(key)}]=${luaOf(each)}`).join(',')}}`;
}

/** What the script makes of the object, run as Argo CD runs it: with the object in `obj`. */
function healthOf(object: object): { readonly status: string; readonly message: string } {
  const program = `obj = ${luaOf(object)}
local health = (function()
${script}
end)()
print(health.status)
print(health.message)`;
  const [status = '', message = ''] = execFileSync('lua5.4', ['-'], { input: program, encoding: 'utf8' }).split('\n');
  return { status, message };
}

const conditionOf = (type: string, status: string) => ({
  type,
  status,
  reason: `${type}Reason`,
  message: `${type} says`,
});

const objects = [1, 2].flatMap((observedGeneration) =>
  (['True', 'False', 'Unknown'] as const).flatMap((ready) =>
    [
      [],
      [conditionOf('Reconciling', 'True')],
      [conditionOf('Stalled', 'True')],
      [conditionOf('Stalled', 'False')],
    ].flatMap((more) =>
      [undefined, '2026-01-01T00:00:00Z'].map((deletionTimestamp) => ({
        metadata: { generation: 2, deletionTimestamp },
        status: { observedGeneration, conditions: [conditionOf('Ready', ready), ...more] },
      })),
    ),
  ),
);

describe('docs/argocd-health.lua', () => {
  it.each(objects)('shows what kstatus says: %j', (object) => {
    expect(healthOf(object).status).toBe(HEALTH[kstatusOf(object as AnyObject)]);
  });

  it.each([
    ['of which nobody knows anything', { metadata: { generation: 1 } }, 'waiting for the operator'],
    [
      'that was just made',
      {
        metadata: { generation: 1 },
        status: { observedGeneration: -1, conditions: [conditionOf('Ready', 'Unknown')] },
      },
      'waiting for the operator',
    ],
    [
      'without a node',
      {
        metadata: { generation: 1 },
        status: {
          observedGeneration: -1,
          conditions: [conditionOf('Ready', 'Unknown'), conditionOf('Scheduled', 'False')],
        },
      },
      'ScheduledReason: Scheduled says',
    ],
    [
      'whose spec has changed',
      { metadata: { generation: 2 }, status: { observedGeneration: 1, conditions: [conditionOf('Ready', 'True')] } },
      'the spec has changed',
    ],
  ])('an object %s is Progressing, and says why', (_, object, message) => {
    expect(healthOf(object)).toEqual({ status: 'Progressing', message });
  });

  it('says why: Stalled rather than Ready', () => {
    const conditions = [conditionOf('Ready', 'True'), conditionOf('Stalled', 'True')];
    const object = { metadata: { generation: 1 }, status: { observedGeneration: 1, conditions } };
    expect(healthOf(object)).toEqual({ status: 'Degraded', message: 'StalledReason: Stalled says' });
  });

  it('is what docs/gitops.md tells to put into argocd-cm', () => {
    const page = readFileSync(path.join(path.dirname(scriptPath), 'gitops.md'), 'utf8');
    const [, block = ''] = /\n {6}health\.lua: \|\n([\s\S]*?)```/.exec(page) ?? [];
    expect(block.replaceAll(/^ {8}/gm, '')).toBe(script);
  });
});
