import { Badge, Button, ColorSwatch, Group, Popover, Stack, Text } from '@mantine/core';
import { IconUsers } from '@tabler/icons-react';

import { count } from '../../format';
import { useCell } from '../cell';
import type { Viewer } from '../viewer';
import type { Present } from '../wire';
import { colourOf } from './pointers';

/** Who looks at the desktop, and who has its controls. */
export function Viewers({ viewer }: { viewer: Viewer }) {
  const present = useCell(viewer.present);
  if (present.length < 2) return null;
  return (
    <Popover position="bottom-start" shadow="md" withArrow>
      <Popover.Target>
        <Button
          size="compact-sm"
          variant="subtle"
          color="gray"
          leftSection={<IconUsers size={15} />}
          aria-label={`Who looks: ${count(present.length, 'viewer')}`}
        >
          {present.length}
        </Button>
      </Popover.Target>
      <Popover.Dropdown maw={320}>
        <Stack gap={8} component="ul" m={0} p={0} style={{ listStyle: 'none' }}>
          {present.map((each) => (
            <Row key={each.viewer} viewer={each} />
          ))}
        </Stack>
      </Popover.Dropdown>
    </Popover>
  );
}

function Row({ viewer }: { viewer: Present }) {
  const { name, you, controls, looksOn } = viewer;
  return (
    <Group component="li" gap={8} wrap="nowrap">
      <ColorSwatch size={10} color={colourOf(viewer.viewer)} withShadow={false} aria-hidden />
      <Text size="sm" truncate style={{ flex: 1 }}>
        {name || 'Somebody'}
        {you && ' (you)'}
      </Text>
      {controls && <Badge color="brand">Has the controls</Badge>}
      {looksOn && <Badge color="gray">Looks on only</Badge>}
    </Group>
  );
}
