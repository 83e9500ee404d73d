/** What is shown of a sandbox in place of its desktop's picture, or over the last one. */
import { sentence } from '../../api/failure';
import type { Sandbox } from '../../api/types';
import type { Thumbnail } from '../../desktop/thumbnails/gallery';

export interface Look {
  sign: 'wait' | 'bad' | 'away' | 'asleep' | 'paused' | 'terminal';
  text: string;
  /** Why, where more is known. */
  why?: string;
}

type Shown = Pick<Sandbox, 'state' | 'reachable' | 'end' | 'desktop'>;

/** Nothing where the picture says it all. */
export function lookOf(sandbox: Shown, { url, failure }: Thumbnail): Look | null {
  const { state, end } = sandbox;
  if (state === 'deleted') return { sign: 'wait', text: 'Being deleted' };
  if (state === 'creating') return { sign: 'wait', text: 'Being made' };
  if (!sandbox.reachable) return { sign: 'away', text: 'Its host cannot be reached' };
  if (state === 'failed') return withReason({ sign: 'bad', text: 'Failed' }, end?.message);
  if (state === 'stopped')
    return withReason({ sign: 'asleep', text: 'Stopped' }, stopReason(sandbox));
  if (sandbox.desktop == null) return { sign: 'terminal', text: 'No desktop' };
  if (state === 'paused') return { sign: 'paused', text: 'Paused' };
  if (failure !== undefined) {
    return withReason({ sign: 'bad', text: 'No picture now' }, failure);
  }
  return url === undefined ? { sign: 'wait', text: 'Waiting for a picture' } : null;
}

/** Whether its picture may be asked for. */
export const hasPicture = ({ state, reachable, desktop }: Shown): boolean =>
  state === 'running' && reachable && desktop != null;

/** Who stopped it by hand knows why. */
const stopReason = ({ end }: Shown): string | undefined =>
  end == null || end.kind === 'requested' ? undefined : end.message;

const withReason = (look: Look, why: string | undefined): Look =>
  why === undefined || why === '' ? look : { ...look, why: sentence(why) };
