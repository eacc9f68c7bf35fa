import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import { type Ancestor, MAX_ANCESTORS, MAX_BODY_BYTES, TransferRefusal } from './transfer-protocol.ts';

const uuid = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);

const schema = z.object({
  uid: z.string().min(1).max(64),
  ancestors: z.array(z.object({ uuid, receivedUuid: uuid.optional() })).max(MAX_ANCESTORS),
});

export interface RequestBody {
  readonly uid: string;
  readonly ancestors: readonly Ancestor[];
}

/** The body of a request for a stream. Throws {@link TransferRefusal} on anything that is not one. */
export async function readRequestBody(request: IncomingMessage): Promise<RequestBody> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES)
      throw new TransferRefusal('BadRequest', `the body is longer than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  const parsed = schema.safeParse(parseJson(Buffer.concat(chunks).toString('utf8')));
  if (!parsed.success) throw new TransferRefusal('BadRequest', 'the body is not the request of an agent');
  return parsed.data;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
