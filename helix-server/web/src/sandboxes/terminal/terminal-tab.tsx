import { ActionIcon, Alert, Button, Card, Group, Menu, Tabs, Text, Tooltip } from '@mantine/core';
import { useLocalStorage } from '@mantine/hooks';
import { notifications } from '@mantine/notifications';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { IconChevronDown, IconPlus, IconTerminal2, IconX } from '@tabler/icons-react';
import { useId, useRef, useState } from 'react';

import { messageOf } from '../../api/failure';
import { call, http } from '../../api/client';
import { asUser, type FileUser } from '../../api/inside';
import { insideKeys, terminalsQuery } from '../../api/sandbox-queries';
import type { Sandbox, Terminal } from '../../api/types';
import { loadable } from '../../components/loadable';
import { EmptyState, ErrorState, LoadingState } from '../../components/states';
import { useNow } from '../../components/time';
import { formatDuration } from '../../format';
import { NotRunning, usable } from '../sandbox-notice';
import { describeExit, type TerminalState } from './terminal-connection';
import classes from './terminal-tab.module.css';

const TerminalView = loadable(() => import('./terminal-view'), 'Loading the terminal');

/** Terminals in a sandbox, side by side. */
export default function TerminalTab({ sandbox }: { sandbox: Sandbox }) {
  const ready = usable(sandbox);
  const terminals = useQuery({ ...terminalsQuery(sandbox.id), enabled: ready });
  // Terminals that are open stay on the screen while their host is away for a moment.
  const gone = !ready && (sandbox.state !== 'running' || !terminals.data);
  if (gone) return <NotRunning sandbox={sandbox} what="Terminals can be opened" />;
  if (terminals.isPending) return <LoadingState label="Loading the terminals" />;
  if (terminals.isError && !terminals.data) {
    return (
      <ErrorState
        what="The terminals could not be loaded"
        error={terminals.error}
        onRetry={() => void terminals.refetch()}
      />
    );
  }
  return <Terminals sandbox={sandbox} terminals={terminals.data} />;
}

function useOpenTerminal(sandbox: Sandbox, onOpened: (id: string) => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (user: FileUser) =>
      call(
        http.POST('/api/v1/sandboxes/{id}/terminals', {
          params: { path: { id: sandbox.id } },
          body: asUser(user),
        }),
      ),
    onSuccess: (terminal) => {
      client.setQueryData<Terminal[]>(insideKeys.terminals(sandbox.id), (known = []) => [
        ...known,
        terminal,
      ]);
      onOpened(terminal.id);
    },
    onError: (error) => {
      notifications.show({ color: 'red', title: 'No terminal', message: messageOf(error) });
    },
  });
}

function Terminals(props: { sandbox: Sandbox; terminals: Terminal[] }) {
  const { sandbox, terminals } = props;
  const client = useQueryClient();
  const [chosen, setChosen] = useState<string | null>(null);
  const [seen, setSeen] = useState<ReadonlySet<string>>(new Set());
  const [states, setStates] = useState<Record<string, TerminalState>>({});
  const [spoken, setSpoken] = useLocalStorage({
    key: 'helix-terminal-spoken',
    defaultValue: false,
  });
  const list = useRef<HTMLDivElement>(null);
  const current = terminals.find(({ id }) => id === chosen) ?? terminals.at(-1);
  if (current && !seen.has(current.id)) setSeen(new Set([...seen, current.id]));
  const open = useOpenTerminal(sandbox, setChosen);
  const opener = <OpenButtons busy={open.isPending} onOpen={open.mutate} />;
  if (!current) {
    return (
      <Card>
        <EmptyState icon={IconTerminal2} title="No terminal is open" action={opener}>
          A terminal goes on when you leave the page, and is as you left it when you come back.
        </EmptyState>
      </Card>
    );
  }
  const label = (terminal: Terminal) =>
    `${terminals.indexOf(terminal) + 1}: ${programOf(terminal)}`;
  return (
    <Tabs
      variant="pills"
      value={current.id}
      onChange={setChosen}
      className={classes.frame}
      keepMounted
    >
      <Group gap="xs" className={classes.bar} wrap="nowrap">
        <Tabs.List ref={list} aria-label="Terminals" className={classes.list}>
          {terminals.map((terminal) => (
            <Tabs.Tab key={terminal.id} value={terminal.id} className={classes.tab}>
              {label(terminal)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Group gap={4} wrap="nowrap">
          {opener}
          <CloseButton sandbox={sandbox} terminal={current} label={label(current)} />
        </Group>
      </Group>
      {terminals.map((terminal) => (
        <Tabs.Panel key={terminal.id} value={terminal.id} className={classes.panel}>
          {seen.has(terminal.id) && (
            <TerminalView
              sandboxId={sandbox.id}
              terminalId={terminal.id}
              label={`Terminal ${label(terminal)}`}
              shown={terminal.id === current.id}
              spoken={spoken}
              onState={(state) => {
                setStates((before) => ({ ...before, [terminal.id]: state }));
              }}
              onRefused={() => {
                void client.invalidateQueries({ queryKey: insideKeys.terminals(sandbox.id) });
              }}
              onLeave={() => {
                list.current?.querySelector<HTMLElement>('[aria-selected=true]')?.focus();
              }}
            />
          )}
          <Status state={states[terminal.id]} />
        </Tabs.Panel>
      ))}
      <Hints
        spoken={spoken}
        onSpoken={() => {
          setSpoken(!spoken);
        }}
      />
    </Tabs>
  );
}

function programOf({ command, user }: Terminal): string {
  const program = command[0]?.split('/').at(-1) ?? 'shell';
  return user === 'root' ? `${program} (root)` : program;
}

function OpenButtons(props: { busy: boolean; onOpen: (user: FileUser) => void }) {
  const { busy, onOpen } = props;
  return (
    <Button.Group>
      <Button
        size="xs"
        variant="default"
        loading={busy}
        leftSection={<IconPlus size={14} />}
        onClick={() => {
          onOpen('user');
        }}
      >
        Open a terminal
      </Button>
      <Menu position="bottom-end">
        <Menu.Target>
          <Button
            size="xs"
            px={6}
            variant="default"
            disabled={busy}
            aria-label="As whom the terminal is opened"
          >
            <IconChevronDown size={14} />
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item
            onClick={() => {
              onOpen('user');
            }}
          >
            As the ordinary user
          </Menu.Item>
          <Menu.Item
            onClick={() => {
              onOpen('root');
            }}
          >
            As the sandbox’s root
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </Button.Group>
  );
}

function CloseButton(props: { sandbox: Sandbox; terminal: Terminal; label: string }) {
  const { sandbox, terminal, label } = props;
  const client = useQueryClient();
  const close = useMutation({
    mutationFn: () =>
      call(
        http.DELETE('/api/v1/sandboxes/{id}/terminals/{terminal}', {
          params: { path: { id: sandbox.id, terminal: terminal.id } },
        }),
      ),
    onSuccess: () => {
      client.setQueryData<Terminal[]>(insideKeys.terminals(sandbox.id), (known) =>
        known?.filter(({ id }) => id !== terminal.id),
      );
    },
    onError: (error) => {
      notifications.show({ color: 'red', title: 'Not closed', message: messageOf(error) });
    },
  });
  return (
    <Tooltip label="Close this terminal; what runs in it ends">
      <ActionIcon
        size={30}
        aria-label={`Close terminal ${label}`}
        loading={close.isPending}
        onClick={() => {
          close.mutate();
        }}
      >
        <IconX size={16} />
      </ActionIcon>
    </Tooltip>
  );
}

function Status({ state }: { state: TerminalState | undefined }) {
  const now = useNow();
  if (state === undefined || state.kind === 'attached' || state.kind === 'closed') return null;
  if (state.kind === 'ended') {
    return (
      <Alert className={classes.status} color="gray" py={6} role="status">
        {describeExit(state.exit)}
      </Alert>
    );
  }
  const wait = state.kind === 'waiting' ? state.until - now : 0;
  return (
    <Alert className={classes.status} color="orange" py={6} role="status">
      {state.kind === 'connecting'
        ? 'Connecting…'
        : `The connection broke. Trying again${wait > 1_000 ? ` in ${formatDuration(wait)}` : ''}.`}
    </Alert>
  );
}

function Hints({ spoken, onSpoken }: { spoken: boolean; onSpoken: () => void }) {
  const id = useId();
  return (
    <Group justify="space-between" mt={8} gap="xs">
      <Text size="xs" c="dimmed" id={id}>
        Ctrl+Shift+C copies, Ctrl+Shift+V pastes, Ctrl+F6 leaves the terminal.
      </Text>
      <Button
        size="compact-xs"
        variant="subtle"
        color="gray"
        aria-pressed={spoken}
        onClick={onSpoken}
      >
        {spoken ? 'Output is read aloud' : 'Read output aloud'}
      </Button>
    </Group>
  );
}
