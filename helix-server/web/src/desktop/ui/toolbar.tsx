import { Button, Group, SegmentedControl, Tooltip } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import {
  IconActivity,
  IconClipboard,
  IconClipboardCopy,
  IconClipboardOff,
  IconKeyboard,
  IconMaximize,
  IconMinimize,
  IconPointer,
  IconScreenshot,
  IconVolume,
  IconVolumeOff,
} from '@tabler/icons-react';

import type { Attached } from '../attached';
import { useCell } from '../cell';
import type { View } from '../input/fit';
import type { Viewer } from '../viewer';
import type { DownOf } from '../wire';
import { MoreMenu } from './more-menu';
import { Tool } from './tool';
import { Viewers } from './viewers';

interface Likes {
  view: View;
  clipboard: boolean;
  keys: boolean;
  stats: boolean;
}

interface Props {
  attached: Attached | null;
  /** Of the sandbox. */
  name: string;
  likes: Likes;
  onLikes: (change: Partial<Likes>) => void;
  full: boolean;
  /** Whether the browser's own keys are the desktop's. */
  captured: boolean;
  onFull: (full: boolean) => void;
  /** Hides the bar, in full screen. */
  onHide: () => void;
  /** What was copied in the desktop and is not copied here yet. */
  copied: DownOf<'clipboard'> | null;
  onCopy: () => void;
  /** Asks for files to upload; absent for who may do no more than look on. */
  onUpload?: () => void;
}

const VIEW_LABELS: { value: View; label: string }[] = [
  { value: 'fit', label: 'Fit' },
  { value: 'actual', label: '1:1' },
  { value: 'follow', label: 'Resize' },
];

const VIEW_HINTS: Record<View, string> = {
  fit: 'The picture is made to fit',
  actual: 'Each pixel is shown as one',
  follow: 'The desktop takes the size of the frame',
};

/** What can be done with a desktop. */
export function Toolbar(props: Props) {
  const { attached, likes, onLikes, full, captured, onFull, copied, onCopy } = props;
  return (
    <Group gap={6} role="toolbar" aria-label="Desktop">
      <Tooltip label={VIEW_HINTS[likes.view]}>
        <SegmentedControl
          size="xs"
          aria-label="How the picture is shown"
          data={VIEW_LABELS}
          value={likes.view}
          onChange={(view) => {
            onLikes({ view });
          }}
        />
      </Tooltip>
      {attached && <Viewers viewer={attached.viewer} />}
      <Group gap={2} ml="auto" justify="flex-end">
        {copied && (
          <Button
            size="compact-sm"
            variant="light"
            leftSection={<IconClipboardCopy size={15} />}
            onClick={onCopy}
          >
            Copy here
          </Button>
        )}
        {attached && <TakeControls viewer={attached.viewer} />}
        {attached && props.onUpload && (
          <ShareClipboard viewer={attached.viewer} likes={likes} onLikes={onLikes} />
        )}
        {attached && <Sound viewer={attached.viewer} />}
        {props.onUpload && (
          <Tool
            name="Keys on the screen"
            icon={IconKeyboard}
            on={likes.keys}
            onClick={() => {
              onLikes({ keys: !likes.keys });
            }}
          />
        )}
        <Tool
          name="Measurements"
          icon={IconActivity}
          on={likes.stats}
          onClick={() => {
            onLikes({ stats: !likes.stats });
          }}
        />
        {attached && <Screenshot viewer={attached.viewer} name={props.name} />}
        <Tool
          name={full ? 'Leave full screen' : 'Full screen'}
          {...(captured && { label: 'Leave full screen (hold Esc)' })}
          icon={full ? IconMinimize : IconMaximize}
          onClick={() => {
            onFull(!full);
            if (!full) attached?.focus();
          }}
        />
        {attached && (
          <MoreMenu
            attached={attached}
            {...(props.onUpload && { onUpload: props.onUpload })}
            {...(full && { onHide: props.onHide })}
          />
        )}
      </Group>
    </Group>
  );
}

/** Not where the desktop keeps its clipboard to itself. */
function ShareClipboard(props: { viewer: Viewer } & Pick<Props, 'likes' | 'onLikes'>) {
  const { viewer, likes, onLikes } = props;
  if (useCell(viewer.hello)?.clipboard === false) return null;
  const on = likes.clipboard;
  return (
    <Tool
      label={on ? 'The clipboard is shared with the desktop' : 'The clipboard is not shared'}
      name="Share the clipboard"
      icon={on ? IconClipboard : IconClipboardOff}
      on={on}
      onClick={() => {
        onLikes({ clipboard: !on });
      }}
    />
  );
}

function TakeControls({ viewer }: { viewer: Viewer }) {
  const live = useCell(viewer.connection).kind === 'live';
  const controls = useCell(viewer.controls);
  const looksOn = useCell(viewer.looksOn);
  if (!live || controls || looksOn) return null;
  return (
    <Tool
      name="Take the controls"
      icon={IconPointer}
      onClick={() => {
        viewer.say({ kind: 'takeOver' });
      }}
    />
  );
}

/** Only where the desktop has sound, and the browser can play it. */
function Sound({ viewer }: { viewer: Viewer }) {
  const offered = useCell(viewer.hello)?.audio === true;
  const on = useCell(viewer.sound);
  if (!offered || !('AudioDecoder' in window)) return null;
  return (
    <Tool
      name="Sound"
      icon={on ? IconVolume : IconVolumeOff}
      on={on}
      onClick={() => {
        viewer.listen(!on);
      }}
    />
  );
}

function Screenshot({ viewer, name }: { viewer: Viewer; name: string }) {
  const pictured = useCell(viewer.size) !== null;
  return (
    <Tool
      name="Save a screenshot"
      icon={IconScreenshot}
      disabled={!pictured}
      onClick={() => {
        void viewer.screenshot().then((png) => {
          if (png) download(png, `${name} ${timeStamp(new Date())}.png`);
          else notifications.show({ color: 'red', message: 'There is no picture to save.' });
        });
      }}
    />
  );
}

function download(file: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  // The browser has begun to read it by then.
  setTimeout(() => {
    URL.revokeObjectURL(link.href);
  }, 10_000);
}

/** `2026-01-31 14.05.09`, in the local time, for the name of a file. */
function timeStamp(now: Date): string {
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19).replace('T', ' ').replaceAll(':', '.');
}
