import stripAnsi from 'strip-ansi';

/**
 * What a terminal shows of what was written to it, without colours: a line that was begun again
 * (as by progress bars) is shown as it was last.
 */
export function terminalText(output: string): string {
  return stripAnsi(output)
    .replace(/\r+\n/g, '\n')
    .split('\n')
    .map((line) => line.replace(/\r+$/, '').split('\r').at(-1) ?? '')
    .join('\n');
}
