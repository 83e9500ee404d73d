import { Box, Button, Group, Text } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconPlugConnectedX } from '@tabler/icons-react';

import { useNow } from '../components/time';
import { useLive, useLiveState } from '../live/live-provider';

/** A short break is not worth a word. */
const PATIENCE_MS = 2_000;

/** Says that live updates are interrupted, while they are. */
export function ConnectionNotice() {
  const state = useLiveState();
  const broken =
    state.kind === 'waiting' ||
    state.kind === 'stopped' ||
    (state.kind === 'connecting' && state.again);
  const [shown] = useDebouncedValue(broken, PATIENCE_MS);
  if (!shown || state.kind === 'live' || state.kind === 'paused') return null;
  return (
    <Box
      role="status"
      px="md"
      py={6}
      bg="var(--mantine-color-yellow-light)"
      c="var(--hx-text)"
      style={{ borderBottom: '1px solid var(--hx-border)' }}
    >
      <Group gap="xs" justify="center">
        <IconPlugConnectedX size={16} aria-hidden />
        <Text size="sm">
          Live updates are interrupted.{' '}
          {state.kind === 'waiting' ? <NextAttempt until={state.until} /> : 'Connecting…'}
        </Text>
        <ReconnectButton />
      </Group>
    </Box>
  );
}

function NextAttempt({ until }: { until: number }) {
  const seconds = Math.max(1, Math.ceil((until - useNow()) / 1_000));
  // Read out once, not each second.
  return (
    <>
      Connecting again soon<span aria-hidden>{` (in ${seconds} s)`}</span>.
    </>
  );
}

function ReconnectButton() {
  const { connection } = useLive();
  return (
    <Button
      size="compact-xs"
      variant="default"
      onClick={() => {
        connection.wake();
      }}
    >
      Connect now
    </Button>
  );
}
