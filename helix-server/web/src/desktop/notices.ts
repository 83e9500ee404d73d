/** What must be known of a desktop that is looked at, in words. */
import { sentence } from '../api/failure';
import { formatDuration } from '../format';
import type { ConnectionState } from './connection';
import type { DownOf, Present } from './wire';
import type { Trouble } from './worker/messages';

export interface Notice {
  key: 'connection' | 'desktop' | 'trouble' | 'controls';
  tone: 'plain' | 'wait' | 'bad';
  text: string;
  /** What can be done about it. */
  action?: { label: string; does: 'wake' | 'takeOver' | 'takePart' };
  /** Whether it can be put away. */
  dismissable?: boolean;
}

interface Known {
  connection: ConnectionState;
  notice: DownOf<'notice'> | null;
  trouble: Trouble | null;
  controls: boolean;
  /** Whether this viewer only looks on. */
  looksOn: boolean;
  present: Present[];
  /** Whether there is a picture. */
  pictured: boolean;
}

const TROUBLES: Record<Trouble, string> = {
  'no-webcodecs':
    'This browser cannot decode video (it has no WebCodecs): still pictures are shown.',
  'not-secure': 'Browsers decode video on HTTPS pages only: still pictures are shown.',
  stuck: 'The picture stood still. The decoder was started anew.',
  'decoder-given-up': 'This browser’s video decoder does not work here: another one is used.',
};

/** For a desktop that says nothing more than the code. */
const CODES: Record<number, string> = {
  1: 'The desktop is starting.',
  2: 'The compositor ended, and is started again.',
  3: 'The encoder has failed.',
  4: 'The host has no encoder that this browser can decode: still pictures are shown.',
  5: 'The connection is too slow for all pictures: fewer are sent.',
  6: 'What was typed or clicked was refused.',
  7: 'There is no sound.',
};
const STARTING = 1;
const DISMISSABLE = new Set([5, 6, 7]);

/** All of them, the most important first; `now` is in milliseconds since the Unix epoch. */
export function noticesOf(known: Known, now: number): Notice[] {
  const connection = ofConnection(known, now);
  // What was said before the connection broke may not be so any more.
  if (connection) return [connection];
  const { notice, trouble } = known;
  const notices: Notice[] = [];
  if (notice) {
    const text = sentence(notice.text || (CODES[notice.code] ?? `Notice ${notice.code}`));
    notices.push({
      key: 'desktop',
      tone: notice.code === STARTING ? 'wait' : 'bad',
      text,
      dismissable: DISMISSABLE.has(notice.code),
    });
  }
  if (trouble) {
    notices.push({ key: 'trouble', tone: 'plain', text: TROUBLES[trouble], dismissable: true });
  }
  if (!known.controls && known.pictured) notices.push(lookingOn(known));
  return notices;
}

function ofConnection({ connection, pictured }: Known, now: number): Notice | null {
  switch (connection.kind) {
    case 'connecting':
      return { key: 'connection', tone: 'wait', text: 'Connecting…' };
    case 'waiting': {
      const wait = connection.until - now;
      const when = wait > 1_000 ? ` in ${formatDuration(wait)}` : '';
      return {
        key: 'connection',
        tone: 'wait',
        text: `${whatBroke(connection.reason, pictured)} Trying again${when}.`,
        action: { label: 'Try now', does: 'wake' },
      };
    }
    case 'closed':
      return connection.reason === undefined
        ? null
        : {
            key: 'connection',
            tone: 'bad',
            text: `The connection ended: ${connection.reason}.`,
            action: { label: 'Connect again', does: 'wake' },
          };
    case 'live':
    case 'paused':
      return null;
  }
}

function whatBroke(reason: string | undefined, pictured: boolean): string {
  if (reason !== undefined)
    return sentence(reason) + (pictured ? ' This is the last picture.' : '');
  return pictured
    ? 'The connection broke; this is the last picture.'
    : 'The desktop could not be reached.';
}

function lookingOn({ present, looksOn }: Known): Notice {
  if (looksOn) {
    return {
      key: 'controls',
      tone: 'plain',
      text: 'You only look on: what you type and click is not sent.',
      action: { label: 'Take part', does: 'takePart' },
      dismissable: true,
    };
  }
  const holder = present.find(({ controls, you }) => controls && !you);
  const who = holder
    ? `${holder.name || 'Somebody else'} has the controls`
    : 'Nobody has the controls';
  return {
    key: 'controls',
    tone: 'plain',
    text: `${who}; you look on.`,
    action: { label: 'Take the controls', does: 'takeOver' },
    dismissable: true,
  };
}
