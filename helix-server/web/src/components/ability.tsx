import { Group, Text } from '@mantine/core';
import { IconCircleCheck, IconCircleX } from '@tabler/icons-react';

/** Something that a machine can or cannot do, with how or why. */
export function Ability(props: { name: string; available: boolean; detail: string }) {
  const { name, available, detail } = props;
  const IconOf = available ? IconCircleCheck : IconCircleX;
  return (
    <Group gap="sm" wrap="nowrap" align="flex-start">
      <IconOf
        size={18}
        color={available ? 'var(--hx-bar-used)' : 'var(--hx-dimmed)'}
        aria-label={available ? 'Available' : 'Not available'}
        role="img"
        style={{ flex: 'none', marginTop: 2 }}
      />
      <div>
        <Text size="sm" fw={550}>
          {name}
        </Text>
        <Text size="xs" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
          {detail}
        </Text>
      </div>
    </Group>
  );
}
