import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Layout, layoutOf, treeLayout } from '../../../src/storage/layout.ts';
import { UID } from '../../builders/observations.ts';

const ROOT = '/var/lib/btrfs-operator';
const layout = layoutOf(ROOT);

/** Everything in the layout that makes a path of a uid. */
const ofUid = Object.entries(layout).filter(
  (entry): entry is [keyof Layout, (uid: string, other: string) => string] => typeof entry[1] === 'function',
);

describe('layoutOf', () => {
  it('has the places that the docs name', () => {
    expect(layout.lockPath).toBe(`${ROOT}/lock`);
    expect(layout.imagePath(UID)).toBe(`${ROOT}/images/${UID}.img`);
    expect(layout.recordPath(UID)).toBe(`${ROOT}/records/${UID}.json`);
    expect(layout.volumePath(UID)).toBe(`${ROOT}/volumes/${UID}`);
    expect(layout.dataPath(UID)).toBe(`${ROOT}/volumes/${UID}/data`);
  });

  it('D18 no two things share a place, and each lies below its area', () => {
    const paths = ofUid.map(([, pathOf]) => pathOf(UID, UID));
    expect(ofUid.length).toBeGreaterThan(5);
    expect(new Set(paths).size).toBe(paths.length);
    const areas = [layout.imagesPath, layout.recordsPath, layout.volumesPath, layout.exportsPath];
    expect(paths.filter((one) => !areas.some((area) => one.startsWith(`${area}/`)))).toEqual([]);
    expect(paths.map((one) => path.normalize(one))).toEqual(paths);
  });

  const traversals: readonly (readonly [title: string, uid: string])[] = [
    ['nothing', ''],
    ['a dot', '.'],
    ['two dots', '..'],
    ['a way out', '../../etc/passwd'],
    ['a way out with a uid in it', `${UID}/../../etc`],
    ['a way out before a uid', `../${UID}`],
    ['an absolute path', '/etc/passwd'],
    ['a NUL', `${UID}\0`],
    ['a newline at the end', `${UID}\n`],
    ['two lines', `x\n${UID}`],
    ['upper case, which is another file', UID.toUpperCase()],
    ['an option', `-${UID}`],
    ['a name of an object', 'default/demo'],
    ['percent escapes', '%2e%2e%2f'],
    ['a uid that is too long', `${UID}0`],
    ['a uid that is too short', UID.slice(1)],
    ['digits of another script', UID.replace('3', '３')],
  ];
  it.each(traversals)('D18 makes no path of %s', (_, uid) => {
    for (const [, pathOf] of ofUid) expect(() => pathOf(uid, UID)).toThrow(TypeError);
    expect(() => layout.exportPath(UID, uid)).toThrow(TypeError);
    const { clonePath, generationPath, ...treePaths } = treeLayout;
    expect(() => clonePath(uid, 'ReadWrite')).toThrow(TypeError);
    expect(() => generationPath(uid, 1)).toThrow(TypeError);
    for (const pathOf of Object.values(treePaths)) expect(() => pathOf(uid)).toThrow(TypeError);
  });

  it('D18 quotes what it refuses', () => expect(() => layout.imagePath('..\n')).toThrow('not a uid: "..\\n"'));

  it('can not be changed by who gets it', () => {
    expect(() => Object.assign(layout, { rootPath: '/' })).toThrow(TypeError);
  });
});
