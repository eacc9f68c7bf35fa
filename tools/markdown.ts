/** A table of GitHub's Markdown. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

export function code(text: string): string {
  return `\`${text}\``;
}

/** Blocks with an empty line between them, after a notice for people who would edit it. Empty blocks are left out. */
export function page(notice: string, blocks: readonly string[]): string {
  return `<!-- ${notice} -->\n\n${blocks.filter((block) => block !== '').join('\n\n')}\n`;
}
