/** The desktop of a sandbox, as its spec has it. */
import type { CreateSandboxRequest, Sandbox } from '../api/types';

/** The size that it begins with, in pixels. */
export interface DesktopSpec {
  width: number;
  height: number;
}

/** The desktop that a sandbox was made with, if any. */
export function desktopOf(sandbox: Sandbox): DesktopSpec | null {
  return (sandbox as Sandbox & { desktop?: DesktopSpec | null }).desktop ?? null;
}

/** A request for a sandbox with a desktop, or without. */
export function withDesktop(
  request: CreateSandboxRequest,
  desktop: DesktopSpec | null,
): CreateSandboxRequest {
  return desktop ? Object.assign({}, request, { desktop }) : request;
}

export const NO_DESKTOP = 'none';

/** What to choose from for a new one. */
export const DESKTOP_CHOICES: { value: string; label: string }[] = [
  { value: NO_DESKTOP, label: 'None' },
  ...['1280×720', '1600×900', '1920×1080', '2560×1440'].map((size) => ({
    value: size,
    label: size.replace('×', ' × '),
  })),
];

/** The choice as a spec. */
export function desktopChosen(choice: string): DesktopSpec | null {
  const [width, height] = choice.split('×').map(Number);
  return width && height ? { width, height } : null;
}
