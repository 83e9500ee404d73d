/** The desktop of a sandbox, as it is asked for. */
import type { DesktopSpec } from '../api/types';

export const NO_DESKTOP = 'none';

/** What to choose from for a new one. */
export const DESKTOP_CHOICES: { value: string; label: string }[] = [
  { value: NO_DESKTOP, label: 'None' },
  ...['1280×720', '1600×900', '1920×1080', '2560×1440'].map((size) => ({
    value: size,
    label: size.replace('×', ' × '),
  })),
  ...['1280×720', '1920×1080'].map((size) => ({
    value: `x11 ${size}`,
    label: `${size.replace('×', ' × ')}, X11`,
  })),
];

/** The choice as a spec. */
export function desktopChosen(choice: string, clipboard: boolean): DesktopSpec | null {
  const x11 = choice.startsWith('x11 ');
  const [width, height] = choice.replace('x11 ', '').split('×').map(Number);
  if (!width || !height) return null;
  return {
    ...(x11 && { kind: 'x11' }),
    width,
    height,
    ...(!clipboard && { clipboard }),
  };
}
