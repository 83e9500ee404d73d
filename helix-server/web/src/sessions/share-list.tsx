import { ActionIcon, Group, Select, Stack, Text, Tooltip } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { IconLink, IconUser, IconX } from '@tabler/icons-react';

import { call, http } from '../api/client';
import { messageOf } from '../api/failure';
import { sharesQuery } from '../api/queries';
import type { SessionShare, ShareRight } from '../api/types';
import { useNow } from '../components/time';
import { count, formatRelative } from '../format';
import classes from './share.module.css';
import { RIGHTS } from './share-words';

/** The shares of a session: each is changed, and ended, where it stands. */
export function ShareList({ id, shares }: { id: string; shares: SessionShare[] }) {
  return (
    <section aria-label="Shared with">
      <Text size="sm" fw={550} mb={6}>
        Shared with
      </Text>
      {shares.length === 0 ? (
        <Text size="sm" c="dimmed">
          Nobody: the session is yours alone.
        </Text>
      ) : (
        <Stack component="ul" className={classes.shares ?? ''} gap={0}>
          {shares.map((share) => (
            <Row key={share.id} id={id} share={share} />
          ))}
        </Stack>
      )}
    </section>
  );
}

function Row({ id, share }: { id: string; share: SessionShare }) {
  const client = useQueryClient();
  const now = useNow();
  const name = nameOf(share);
  const params = { path: { id, share: share.id } };
  const told = {
    onSuccess: () => client.invalidateQueries({ queryKey: sharesQuery(id).queryKey }),
    onError: (error: unknown) => {
      notifications.show({ color: 'red', title: 'Not changed', message: messageOf(error) });
    },
  };
  const change = useMutation({
    mutationFn: (right: ShareRight) =>
      call(http.PATCH('/api/v1/sessions/{id}/shares/{share}', { params, body: { right } })),
    ...told,
  });
  const end = useMutation({
    mutationFn: () => call(http.DELETE('/api/v1/sessions/{id}/shares/{share}', { params })),
    ...told,
  });
  const IconOf = share.is_link ? IconLink : IconUser;
  return (
    <Group component="li" wrap="nowrap" gap="sm" className={classes.share ?? ''}>
      <IconOf size={17} stroke={1.7} style={{ flex: 'none' }} aria-hidden />
      <div className={classes.who}>
        <Text size="sm" fw={500} truncate title={name}>
          {name}
        </Text>
        <Text size="xs" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
          {aboutOf(share, now)}
        </Text>
      </div>
      <Select
        size="xs"
        w={112}
        aria-label={`What ${name} may do`}
        data={RIGHTS.map(({ value, label }) => ({ value, label }))}
        allowDeselect={false}
        disabled={change.isPending || end.isPending}
        value={share.right}
        onChange={(right) => {
          if (right === 'read' || right === 'drive') change.mutate(right);
        }}
      />
      <Tooltip label="End this share">
        <ActionIcon
          aria-label={`End the share with ${name}`}
          loading={end.isPending}
          onClick={() => {
            end.mutate();
          }}
        >
          <IconX size={16} />
        </ActionIcon>
      </Tooltip>
    </Group>
  );
}

const nameOf = ({ is_link, people }: SessionShare): string =>
  is_link ? 'A link' : (people[0]?.name ?? 'Somebody');

function aboutOf({ is_link, people, expires_at_ms: ends }: SessionShare, now: number): string {
  const names = people.map(({ name }) => name);
  const taken =
    names.length === 0
      ? 'nobody took it yet'
      : names.length <= 3
        ? names.join(', ')
        : count(names.length, 'person', 'people');
  const who = is_link ? taken : (people[0]?.email ?? '');
  if (ends == null) return who;
  return `${who} · ${ends > now ? `ends ${formatRelative(ends, now)}` : 'has ended'}`;
}
