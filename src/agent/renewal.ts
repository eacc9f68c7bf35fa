/** Whether the Lease of this node is renewed, by which others know that its agent lives. */
export interface Renewal {
  /** The last try succeeded; false before the first. */
  readonly isRenewed: boolean;
  /** Why it is not renewed; undefined while it is, or was not tried yet. */
  complaint(): string | undefined;
  /** Renewing works from now on, or fails for this reason. */
  changed(failure: string | undefined): void;
}

export function createRenewal(): Renewal {
  let isRenewed = false;
  let complaint: string | undefined;
  return {
    get isRenewed() {
      return isRenewed;
    },
    complaint: () => complaint,
    changed(failure) {
      isRenewed = failure === undefined;
      complaint = failure && `the Lease of the node is not renewed: ${failure}`;
    },
  };
}
