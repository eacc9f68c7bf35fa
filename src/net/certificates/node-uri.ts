const PREFIX = 'btrfs-operator://node/';
/** Names of Nodes are DNS subdomains, so nothing in them needs escaping. */
const NODE_NAME = /^(?=.{1,253}$)[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/;

/**
 * The URI by which certificates name a node. Not a DNS name: nodes may be called like an address (`10.0.0.5`), and nothing
 * that checks host names should take it for one. Throws TypeError on what can't be a node's name.
 */
export function nodeUri(nodeName: string): string {
  if (!NODE_NAME.test(nodeName)) throw new TypeError(`not the name of a node: "${nodeName}"`);
  return PREFIX + nodeName;
}

/** The node that a URI made by {@link nodeUri} names; undefined for any other text. */
export function nodeNameOfUri(uri: string): string | undefined {
  if (!uri.startsWith(PREFIX)) return undefined;
  const name = uri.slice(PREFIX.length);
  return NODE_NAME.test(name) ? name : undefined;
}

/**
 * The node that a certificate names: its only alternative name, as `subjectaltname` of node:tls shows it
 * (`URI:btrfs-operator://node/node-a`); undefined if it has another, several or none.
 */
export function nodeNameOfAltNames(subjectaltname: string | undefined): string | undefined {
  return subjectaltname?.startsWith('URI:') ? nodeNameOfUri(subjectaltname.slice('URI:'.length)) : undefined;
}
