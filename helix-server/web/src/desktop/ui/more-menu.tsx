import { ActionIcon, Menu } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import {
  IconChevronUp,
  IconDots,
  IconEye,
  IconHandFinger,
  IconMouse,
  IconRefresh,
  IconUpload,
} from '@tabler/icons-react';

import type { Attached } from '../attached';
import { useCell } from '../cell';

/** The most that a viewer may ask for, in kbit/s; 0 is no bound. */
const BOUNDS = [
  { kbits: '0', label: 'As much as there is' },
  { kbits: '8000', label: '8 Mbit/s' },
  { kbits: '3000', label: '3 Mbit/s' },
  { kbits: '1000', label: '1 Mbit/s' },
];

/** What is rarely done with a desktop. */
export function MoreMenu(props: {
  attached: Attached;
  /** Absent for who may do no more than look on. */
  onUpload?: () => void;
  /** Hides the bar; absent where it stays. */
  onHide?: () => void;
}) {
  const { attached, onUpload, onHide } = props;
  const { viewer } = attached;
  const most = useCell(viewer.most);
  const looksOn = useCell(viewer.looksOn);
  return (
    <Menu position="bottom-end" width={270}>
      <Menu.Target>
        <ActionIcon size={30} aria-label="More">
          <IconDots size={17} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {onUpload && (
          <>
            <Menu.Item leftSection={<IconUpload size={15} />} onClick={onUpload}>
              Upload files
            </Menu.Item>
            <Menu.Item
              leftSection={looksOn ? <IconHandFinger size={15} /> : <IconEye size={15} />}
              onClick={() => {
                viewer.lookOn(!looksOn);
              }}
            >
              {looksOn ? 'Take part' : 'Look on only'}
            </Menu.Item>
          </>
        )}
        {attached.canLock && !looksOn && (
          <Menu.Item
            leftSection={<IconMouse size={15} />}
            onClick={() => {
              attached.lockPointer().catch(() => {
                notifications.show({ color: 'red', message: 'The browser keeps its pointer.' });
              });
            }}
          >
            Lock the pointer (Esc frees it)
          </Menu.Item>
        )}
        <Menu.Item
          leftSection={<IconRefresh size={15} />}
          onClick={() => {
            viewer.say({ kind: 'keyframe' });
          }}
        >
          Refresh the picture
        </Menu.Item>
        {onHide && (
          <Menu.Item leftSection={<IconChevronUp size={15} />} onClick={onHide}>
            Hide the bar (Ctrl+F6 shows it)
          </Menu.Item>
        )}
        <Menu.Divider />
        <Menu.Label>Bandwidth</Menu.Label>
        <Menu.RadioGroup
          value={String(most)}
          onChange={(value) => {
            viewer.setMost(Number(value));
          }}
        >
          {BOUNDS.map(({ kbits, label }) => (
            <Menu.RadioItem key={kbits} value={kbits}>
              {label}
            </Menu.RadioItem>
          ))}
        </Menu.RadioGroup>
      </Menu.Dropdown>
    </Menu>
  );
}
