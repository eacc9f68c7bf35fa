export interface HostileStream {
  readonly title: string;
  readonly stream: Buffer;
  /** What the message says of it. */
  readonly says: string | RegExp;
  readonly code?: 'damaged';
}

export const hostile = (title: string, stream: Buffer, says: string | RegExp): HostileStream => ({
  title,
  stream,
  says,
});
export const damaged = (title: string, stream: Buffer, says: string | RegExp): HostileStream => ({
  ...hostile(title, stream, says),
  code: 'damaged',
});
