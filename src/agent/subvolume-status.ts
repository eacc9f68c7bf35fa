import type { ListedSubvolume, Tree } from '../storage/tree.ts';

/** How status tells of a subvolume in the tree of a volume: where it is, and how it is mounted by hand. */
export function subvolumeStatusOf(
  { id, path }: Pick<ListedSubvolume, 'id' | 'path'>,
  tree: Pick<Tree, 'path' | 'device'>,
  access: 'ReadOnly' | 'ReadWrite',
) {
  return {
    // As listed it begins with the name of the tree itself.
    path: `${tree.path}/${path.slice(path.indexOf('/') + 1)}`,
    mount: {
      device: tree.device,
      fsType: 'btrfs',
      options: [`subvolid=${id}`, ...(access === 'ReadOnly' ? ['ro'] : [])],
    },
  };
}
