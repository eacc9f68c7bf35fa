const LINE = /.{1,64}/g;

/** One block as of RFC 7468. */
export function pemOf(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der).toString('base64').match(LINE) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}

/** The only block of a PEM text. Throws TypeError when there is none, another, or more. */
export function derOfPem(label: string, pem: string): Buffer {
  const match = /^\s*-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]+)-----END \1-----\s*$/.exec(pem);
  if (match?.[1] !== label || match[2] === undefined) throw new TypeError(`not one PEM block "${label}"`);
  return Buffer.from(match[2], 'base64');
}

/** The blocks of a PEM text, each as a text of its own; what stands between them is dropped. */
export function pemBlocks(label: string, pem: string): string[] {
  const block = new RegExp(`-----BEGIN ${label}-----[A-Za-z0-9+/=\\s]+-----END ${label}-----`, 'g');
  return (pem.match(block) ?? []).map((text) => `${text}\n`);
}
