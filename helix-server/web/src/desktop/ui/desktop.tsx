import { useLocalStorage } from '@mantine/hooks';
import { notifications } from '@mantine/notifications';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Text } from '@mantine/core';
import { useCallback, useEffect, useRef, useState } from 'react';

import { insideUrl } from '../../api/inside';
import { keys, meQuery } from '../../api/queries';
import type { Sandbox } from '../../api/types';
import { formatBytes } from '../../format';
import { Attached } from '../attached';
import { copyHere, readPasted } from '../clipboard';
import { VIEWS, type View } from '../input/fit';
import { LARGEST_CLIPBOARD, type DownOf } from '../wire';
import classes from './desktop.module.css';
import { Drop } from './drop';
import { KeysBar } from './keys-bar';
import { Screen, type Parts } from './screen';
import { Toolbar } from './toolbar';
import { useFullScreen } from './use-full-screen';

/** What is kept of how somebody likes their desktops. */
interface Likes {
  view: View;
  clipboard: boolean;
  keys: boolean;
  stats: boolean;
}

const AT_FIRST: Likes = { view: 'fit', clipboard: true, keys: false, stats: false };

/** The picture, what is around it, and what is done to it. */
export default function Desktop({ sandbox, looksOn }: { sandbox: Sandbox; looksOn: boolean }) {
  const [likes, setLikes] = useLikes();
  const [filled, setFull] = useFullScreen();
  const full = filled !== 'frame';
  const captured = filled === 'captured';
  useCaptureHint(captured);
  const [barShown, setBarShown] = useState(true);
  const bar = useRef<HTMLDivElement>(null);
  const files = useRef<HTMLInputElement>(null);
  const showBar = useCallback(() => {
    setBarShown(true);
    // It may have been hidden until now.
    requestAnimationFrame(() =>
      bar.current?.querySelector<HTMLElement>('input:checked, button')?.focus(),
    );
  }, []);
  const clipboard = useClipboard(likes.clipboard);
  const [attached, mount] = useAttached(sandbox.id, looksOn, { clipboard, onLeave: showBar });
  const hidden = full && !barShown;
  return (
    <section
      className={classes.desktop}
      data-full={full || undefined}
      aria-label={`Desktop of ${sandbox.name}`}
    >
      <Drop sandboxId={sandbox.id} field={files} refuses={looksOn}>
        {!hidden && (
          <div ref={bar} className={classes.bar}>
            <Toolbar
              attached={attached}
              name={sandbox.name}
              likes={likes}
              onLikes={setLikes}
              full={full}
              captured={captured}
              onFull={(wanted) => {
                setBarShown(true);
                setFull(wanted);
              }}
              onHide={() => {
                setBarShown(false);
                attached?.focus();
              }}
              copied={clipboard.waiting}
              onCopy={clipboard.copy}
              {...(!looksOn && { onUpload: () => files.current?.click() })}
            />
          </div>
        )}
        <Screen
          mount={mount}
          attached={attached}
          label={`Desktop of ${sandbox.name}. Ctrl+F6 leaves it.`}
          view={likes.view}
          stats={likes.stats}
          onShowBar={hidden ? showBar : undefined}
        />
        {likes.keys && !looksOn && attached && <KeysBar attached={attached} />}
      </Drop>
      {!full && (
        <Text size="xs" c="dimmed" mt={8}>
          {looksOn
            ? 'You look on. Who drives the session has the controls.'
            : 'Ctrl+F6 leaves the desktop. Files that are dropped on it are put into its home folder.'}
        </Text>
      )}
    </section>
  );
}

const CAPTURE_HINT = 'desktop-captured';

/** Says, once for each time, how to get out where no key of the browser's own does. */
function useCaptureHint(captured: boolean): void {
  useEffect(() => {
    if (!captured) return undefined;
    notifications.show({
      id: CAPTURE_HINT,
      title: 'All keys go to the desktop',
      message: 'Hold Esc to leave the full screen.',
    });
    return () => {
      notifications.hide(CAPTURE_HINT);
    };
  }, [captured]);
}

function useLikes(): [Likes, (change: Partial<Likes>) => void] {
  const [kept, setKept] = useLocalStorage<Partial<Likes>>({
    key: 'helix-desktop',
    defaultValue: {},
    getInitialValueInEffect: false,
  });
  const likes = { ...AT_FIRST, ...kept };
  if (!VIEWS.includes(likes.view)) likes.view = AT_FIRST.view;
  return [
    likes,
    (change) => {
      setKept({ ...likes, ...change });
    },
  ];
}

interface Clipboard {
  on: boolean;
  /** What was copied in the desktop, and the browser let nobody copy here without being asked. */
  waiting: DownOf<'clipboard'> | null;
  copied: (clipboard: DownOf<'clipboard'>) => void;
  copy: () => void;
}

function useClipboard(on: boolean): Clipboard {
  const [waiting, setWaiting] = useState<DownOf<'clipboard'> | null>(null);
  const copied = async (clipboard: DownOf<'clipboard'>, asked: boolean) => {
    const done = await copyHere(clipboard, asked);
    setWaiting(done ? null : clipboard);
    if (asked && !done) {
      notifications.show({ color: 'red', message: 'The browser did not let the page copy it.' });
    }
  };
  return {
    on,
    waiting: on ? waiting : null,
    copied: (clipboard) => {
      if (on) void copied(clipboard, false);
    },
    copy: () => {
      if (waiting) void copied(waiting, true);
    },
  };
}

interface Told {
  clipboard: Clipboard;
  onLeave: () => void;
}

/** Attaches a viewer to the parts of the screen, for as long as they are there. */
function useAttached(sandboxId: string, looksOn: boolean, told: Told) {
  const client = useQueryClient();
  const name = useQuery(meQuery).data?.name ?? '';
  const [attached, setAttached] = useState<Attached | null>(null);
  const now = useRef({ ...told, name });
  useEffect(() => {
    now.current = { ...told, name };
  });
  const mount = useCallback(
    (parts: Parts) => {
      const made: Attached = new Attached({
        ...parts,
        url: socketUrl(sandboxId),
        name: shortened(now.current.name),
        clipboard: () => now.current.clipboard.on && made.viewer.hello.get()?.clipboard === true,
        onPaste: async (data) => {
          await paste(made, data);
        },
        onCopied: (clipboard) => {
          now.current.clipboard.copied(clipboard);
        },
        onLeave: () => {
          now.current.onLeave();
        },
        onRefused: () => {
          void client.invalidateQueries({ queryKey: keys.sandbox(sandboxId) });
        },
      });
      if (looksOn) made.viewer.lookOn(true);
      setAttached(made);
      return () => {
        made.end();
      };
    },
    [client, sandboxId, looksOn],
  );
  return [attached, mount] as const;
}

async function paste({ viewer }: Attached, data: DataTransfer): Promise<void> {
  const pasted = await readPasted(data);
  if (!pasted) return;
  // Its kind comes before it.
  if (pasted.content.length > LARGEST_CLIPBOARD - 64) {
    notifications.show({
      color: 'red',
      title: 'Too much to paste',
      message: `At most ${formatBytes(LARGEST_CLIPBOARD)} can be pasted; drop a file instead.`,
    });
    return;
  }
  viewer.say({ kind: 'clipboard', ...pasted });
}

function socketUrl(sandboxId: string): string {
  const url = new URL(insideUrl(sandboxId, 'desktop'), window.location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}

/** As much of a name as others are shown, and as the wire holds: at most 255 bytes. */
const shortened = (name: string): string => Array.from(name).slice(0, 60).join('');
