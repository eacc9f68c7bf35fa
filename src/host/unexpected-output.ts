/** What a tool printed has not the shape that its parser knows: another version, or not the tool that it was taken for. */
export class UnexpectedOutputError extends TypeError {
  constructor(tool: string, output: string, options?: ErrorOptions) {
    super(`${tool}: unexpected output ${JSON.stringify(output.slice(0, 120))}`, options);
    this.name = 'UnexpectedOutputError';
  }
}
