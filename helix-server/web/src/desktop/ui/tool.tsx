import { ActionIcon, Tooltip } from '@mantine/core';
import type { Icon } from '@tabler/icons-react';

/** A button of the bar; one that is on or off says which. */
export function Tool(props: {
  name: string;
  /** What more is to be said of it than its name. */
  label?: string;
  icon: Icon;
  on?: boolean;
  disabled?: boolean;
  onClick: () => void;
}) {
  const { name, label = name, icon: IconOf, on, disabled = false, onClick } = props;
  return (
    <Tooltip label={label}>
      <ActionIcon
        size={30}
        variant={on ? 'light' : 'subtle'}
        color={on ? 'brand' : 'gray'}
        aria-label={name}
        aria-pressed={on}
        disabled={disabled}
        {...(disabled && { bg: 'transparent' })}
        onClick={onClick}
      >
        <IconOf size={17} stroke={1.8} />
      </ActionIcon>
    </Tooltip>
  );
}
