import { ActionIcon, Button, Menu, Skeleton, Stack, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useInfiniteQuery } from '@tanstack/react-query';
import { IconDots, IconRobot, IconSearch } from '@tabler/icons-react';
import { useState } from 'react';
import { Link, useParams } from 'react-router';

import { messageOf } from '../api/failure';
import { sessionsQuery } from '../api/queries';
import type { Session } from '../api/types';
import { useNow } from '../components/time';
import { dayGroup } from '../format';
import { useSessionMenu } from '../sessions/use-session-menu';
import classes from './shell.module.css';

/** The user's sessions, newest first, with search. */
export function SessionList() {
  const [text, setText] = useState('');
  const [search] = useDebouncedValue(text.trim(), 250);
  const sessions = useInfiniteQuery(sessionsQuery(search));
  const items = sessions.data?.pages.flatMap((page) => page.items) ?? [];

  return (
    <section className={classes.sessions} aria-label="Chats">
      <div className={classes.search}>
        <TextInput
          id="session-search"
          size="xs"
          type="search"
          placeholder="Search chats"
          aria-label="Search chats"
          leftSection={<IconSearch size={14} aria-hidden />}
          value={text}
          onChange={(event) => {
            setText(event.currentTarget.value);
          }}
        />
      </div>
      <div className={classes.list}>
        {sessions.isPending && <Waiting />}
        {sessions.isError && (
          <Stack gap="xs" p="xs" role="alert">
            <Text size="xs" c="dimmed">
              {messageOf(sessions.error)}
            </Text>
            <Button size="compact-xs" variant="default" onClick={() => void sessions.refetch()}>
              Try again
            </Button>
          </Stack>
        )}
        {sessions.isSuccess && items.length === 0 && (
          <Text size="xs" c="dimmed" p="xs">
            {search === ''
              ? 'Your chats appear here. Ask something to start one.'
              : `No chat matches “${search}”.`}
          </Text>
        )}
        <Shared search={search} />
        <Groups sessions={items} />
        {sessions.hasNextPage && (
          <Button
            variant="subtle"
            color="gray"
            size="xs"
            fullWidth
            mt="xs"
            loading={sessions.isFetchingNextPage}
            onClick={() => void sessions.fetchNextPage()}
          >
            Show more
          </Button>
        )}
      </div>
    </section>
  );
}

/** Those of others that are shared with the user. */
function Shared({ search }: { search: string }) {
  const sessions = useInfiniteQuery(sessionsQuery(search, true));
  const items = sessions.data?.pages.flatMap((page) => page.items) ?? [];
  if (items.length === 0) return null;
  return (
    <div role="group" aria-label="Shared with you">
      <div className={classes.group} aria-hidden>
        Shared with you
      </div>
      {items.map((session) => (
        <Item key={session.id} session={session} />
      ))}
      {sessions.hasNextPage && (
        <Button
          variant="subtle"
          color="gray"
          size="xs"
          fullWidth
          loading={sessions.isFetchingNextPage}
          onClick={() => void sessions.fetchNextPage()}
        >
          Show more of them
        </Button>
      )}
    </div>
  );
}

function Groups({ sessions }: { sessions: Session[] }) {
  const now = useNow();
  const groups = new Map<string, Session[]>();
  for (const session of sessions) {
    const group = dayGroup(session.updated_at_ms, now);
    groups.set(group, [...(groups.get(group) ?? []), session]);
  }
  return [...groups].map(([group, items]) => (
    <div key={group} role="group" aria-label={group}>
      <div className={classes.group} aria-hidden>
        {group}
      </div>
      {items.map((session) => (
        <Item key={session.id} session={session} />
      ))}
    </div>
  ));
}

function Item({ session }: { session: Session }) {
  const { sessionId } = useParams();
  const menu = useSessionMenu(session);
  const current = session.id === sessionId;
  const unnamed = session.agent ? 'New session' : 'New chat';
  const title = session.title === '' ? unnamed : session.title;
  return (
    <div className={classes.item} data-current={current || undefined}>
      <Link
        to={`/s/${session.id}`}
        className={classes.itemLink}
        aria-current={current ? 'page' : undefined}
        title={session.shared ? `${title}, of ${session.shared.owner}` : title}
      >
        {session.agent && (
          <IconRobot
            size={15}
            className={classes.itemIcon}
            role="img"
            aria-label="With an agent:"
          />
        )}
        {title}
      </Link>
      {session.active_turn != null && (
        <span
          className={classes.dot}
          role="img"
          aria-label={session.agent ? 'At work' : 'Being answered'}
        />
      )}
      <Menu position="bottom-end" width={160}>
        <Menu.Target>
          <ActionIcon size={26} className={classes.itemMenu} aria-label={`Actions for ${title}`}>
            <IconDots size={15} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>{menu.items}</Menu.Dropdown>
      </Menu>
      {menu.dialog}
    </div>
  );
}

function Waiting() {
  return (
    <Stack gap={10} p="xs" role="status" aria-label="Loading your chats">
      {[82, 64, 90, 55].map((width) => (
        <Skeleton key={width} height={14} width={`${width}%`} radius="sm" />
      ))}
    </Stack>
  );
}
