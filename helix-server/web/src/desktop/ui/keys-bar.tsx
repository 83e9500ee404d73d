import { Button } from '@mantine/core';
import {
  IconArrowDown,
  IconArrowLeft,
  IconArrowRight,
  IconArrowUp,
  IconKeyboardShow,
} from '@tabler/icons-react';
import { useState, type ReactNode } from 'react';

import type { Attached } from '../attached';
import { useCell } from '../cell';
import classes from './desktop.module.css';

interface Key {
  code: string;
  label: string;
  shown?: ReactNode;
}

/** Held for the next key. */
const MODIFIERS: Key[] = [
  { code: 'ControlLeft', label: 'Ctrl' },
  { code: 'AltLeft', label: 'Alt' },
  { code: 'ShiftLeft', label: 'Shift' },
  { code: 'MetaLeft', label: 'Super' },
];

const ARROWS: Key[] = [
  { code: 'ArrowLeft', label: 'Left', shown: <IconArrowLeft size={15} /> },
  { code: 'ArrowUp', label: 'Up', shown: <IconArrowUp size={15} /> },
  { code: 'ArrowDown', label: 'Down', shown: <IconArrowDown size={15} /> },
  { code: 'ArrowRight', label: 'Right', shown: <IconArrowRight size={15} /> },
];

const MORE: Key[] = [
  { code: 'Home', label: 'Home' },
  { code: 'End', label: 'End' },
  { code: 'PageUp', label: 'Page up' },
  { code: 'PageDown', label: 'Page down' },
  { code: 'Insert', label: 'Insert' },
  { code: 'Delete', label: 'Delete' },
  ...Array.from({ length: 12 }, (_, index) => ({
    code: `F${index + 1}`,
    label: `F${index + 1}`,
  })),
];

/** Keys that keyboards of tablets lack. */
export function KeysBar({ attached }: { attached: Attached }) {
  const latched = useCell(attached.latched);
  const [more, setMore] = useState(false);
  const press = ({ code }: Key) => {
    attached.keyboard.press({ code, key: '' });
  };
  return (
    <div className={classes.keys} role="group" aria-label="Keys">
      <KeyButton
        label="Keyboard of this device"
        shown={<IconKeyboardShow size={16} />}
        onPress={() => {
          attached.typeOnScreen();
        }}
      />
      <KeyButton
        label="Esc"
        onPress={() => {
          press({ code: 'Escape', label: 'Esc' });
        }}
      />
      <KeyButton
        label="Tab"
        onPress={() => {
          press({ code: 'Tab', label: 'Tab' });
        }}
      />
      {MODIFIERS.map(({ code, label }) => (
        <KeyButton
          key={code}
          label={label}
          pressed={latched.includes(code)}
          onPress={() => {
            attached.keyboard.latch(code);
          }}
        />
      ))}
      {[...ARROWS, ...(more ? MORE : [])].map((key) => (
        <KeyButton
          key={key.code}
          {...key}
          onPress={() => {
            press(key);
          }}
        />
      ))}
      <KeyButton
        label={more ? 'Fewer keys' : 'More keys'}
        shown={more ? 'Less' : 'F1–F12…'}
        onPress={() => {
          setMore(!more);
        }}
      />
    </div>
  );
}

function KeyButton(props: {
  label: string;
  shown?: ReactNode;
  pressed?: boolean;
  onPress: () => void;
}) {
  const { label, shown = label, pressed, onPress } = props;
  return (
    <Button
      size="compact-sm"
      px={10}
      miw={36}
      h={32}
      variant={pressed ? 'filled' : 'default'}
      aria-label={label}
      aria-pressed={pressed}
      // The keyboard stays where it is, with what is held on it.
      onPointerDown={(event) => {
        event.preventDefault();
      }}
      onMouseDown={(event) => {
        event.preventDefault();
      }}
      onClick={onPress}
    >
      {shown}
    </Button>
  );
}
