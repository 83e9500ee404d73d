import { Button, Group, Kbd, Text } from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import { IconShieldQuestion } from '@tabler/icons-react';
import { useState } from 'react';

import type { PermissionOption, PermissionOptionKind } from '../../api/types';
import { useNow } from '../../components/time';
import { useDrives } from '../../sessions/right';
import { openPermissions, type AgentLog, type PermissionItem } from '../log/view';
import { countDown } from '../status';
import type { Agent } from '../use-agent';
import classes from './session.module.css';
import { ToolBody } from './tool-call';

/** In this order; the first is what most people want most of the time. */
const ORDER: PermissionOptionKind[] = [
  'allow_once',
  'allow_always',
  'reject_once',
  'reject_always',
];

const sorted = (options: readonly PermissionOption[]) =>
  [...options].sort((one, other) => ORDER.indexOf(one.kind) - ORDER.indexOf(other.kind));

/** A count-down of hours is not worth a word until its last hour. */
const SHOWN_MS = 3_600_000;

/** What the agent asks before it goes on; the oldest question first. */
export function Permissions({ log, agent }: { log: AgentLog; agent: Agent }) {
  const open = openPermissions(log);
  const [first] = open;
  if (!first) return null;
  return (
    <Question key={`${first.thread} ${first.request}`} log={log} item={first} agent={agent}>
      {open.length > 1 && (
        <Text size="xs" c="dimmed">
          {open.length - 1} more after this
        </Text>
      )}
    </Question>
  );
}

interface QuestionProps {
  log: AgentLog;
  item: PermissionItem;
  agent: Agent;
  children: React.ReactNode;
}

function Question({ log, item, agent, children }: QuestionProps) {
  const [waits, setBusy] = useState(false);
  const drives = useDrives();
  const busy = waits || !drives;
  const options = sorted(item.options);
  const call = log.items[item.call];
  const choose = (option: PermissionOption | undefined) => {
    if (!option || busy) return;
    setBusy(true);
    const given = { outcome: 'selected', option: option.id } as const;
    void agent.answer(item.thread, item.request, given).then((done) => {
      // One that was taken leaves with the log.
      if (!done) setBusy(false);
    });
  };
  useHotkeys(
    options.slice(0, 9).map((option, index) => [
      `alt+${index + 1}`,
      () => {
        choose(option);
      },
    ]),
    [],
  );
  return (
    <section className={classes.question} aria-label="The agent asks for permission">
      <Group gap={8} wrap="nowrap" align="flex-start">
        <IconShieldQuestion size={19} style={{ flex: 'none' }} aria-hidden />
        <div style={{ minWidth: 0, flex: 1 }}>
          <h2 className={classes.questionTitle}>{item.title}</h2>
          <Text size="xs" c="dimmed">
            {drives
              ? 'The agent asks whether it may.'
              : 'The agent asks whether it may. Who drives the session answers.'}
            <Ends atMs={item.endsAtMs} />
          </Text>
        </div>
        {children}
      </Group>
      {call?.kind === 'tool' && (call.content.length > 0 || call.input != null) && (
        // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls
        <div className={classes.preview} role="group" aria-label="What it is about" tabIndex={0}>
          <ToolBody item={call} />
        </div>
      )}
      <Group gap="xs" mt={8}>
        {options.map((option, index) => (
          <Button
            key={option.id}
            size="xs"
            variant={index === 0 && option.kind.startsWith('allow') ? 'filled' : 'default'}
            disabled={busy}
            rightSection={
              index < 9 && (
                <Kbd size="xs" className={classes.keys ?? ''}>
                  Alt {index + 1}
                </Kbd>
              )
            }
            aria-keyshortcuts={`Alt+${index + 1}`}
            onClick={() => {
              choose(option);
            }}
          >
            {option.name}
          </Button>
        ))}
      </Group>
    </section>
  );
}

function Ends({ atMs }: { atMs: number | null }) {
  const now = useNow();
  if (atMs === null || atMs - now > SHOWN_MS) return null;
  return <span aria-hidden> Without an answer it is refused in {countDown(atMs - now)}.</span>;
}
