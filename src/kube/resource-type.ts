/** How a kind is found in the API and read from JSON. */
export interface ResourceType<T> {
  /** `v1` or `group/version`. */
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** Throws on an object that is not of this kind or can't be used; a reflector then skips that object alone. */
  parse(raw: unknown): T;
}
