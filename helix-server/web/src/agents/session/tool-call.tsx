import { Loader, Text, UnstyledButton } from '@mantine/core';
import {
  IconAlertTriangle,
  IconArrowsMove,
  IconBrain,
  IconCheck,
  IconChevronRight,
  IconCircleDashed,
  IconFileText,
  IconPencil,
  IconPlayerStop,
  IconSearch,
  IconSwitch3,
  IconTerminal2,
  IconTool,
  IconTrash,
  IconWorld,
  type Icon,
} from '@tabler/icons-react';
import { memo, use, useId, useState } from 'react';

import type { ToolContent, ToolKind } from '../../api/types';
import { Diff } from '../../components/diff';
import { formatBytes } from '../../format';
import { terminalKey, type TerminalOutput, type ToolItem } from '../log/view';
import { terminalText } from '../terminal-text';
import { Contents, Output } from './content';
import classes from './session.module.css';
import { TerminalsContext } from './terminals';

export const TOOL_ICONS: Record<ToolKind, Icon> = {
  read: IconFileText,
  edit: IconPencil,
  delete: IconTrash,
  move: IconArrowsMove,
  search: IconSearch,
  execute: IconTerminal2,
  think: IconBrain,
  fetch: IconWorld,
  switch_mode: IconSwitch3,
  other: IconTool,
};

const STATUS: Record<ToolItem['status'], string> = {
  pending: 'not begun',
  in_progress: 'running',
  completed: 'done',
  failed: 'failed',
  unfinished: 'not finished',
};

/** Changes up to so many characters are seen without being asked for. */
const SHORT_CHANGE = 4_000;

function startsOpen({ status, content }: ToolItem): boolean {
  if (status === 'in_progress' || status === 'failed') return true;
  const diffs = content.flatMap((each) => (each.type === 'diff' ? [each] : []));
  const length = diffs.reduce((sum, diff) => sum + diff.after.length, 0);
  return diffs.length > 0 && length <= SHORT_CHANGE;
}

/** A call of a tool, as it runs. */
export const ToolCall = memo(function ToolCall({ item }: { item: ToolItem }) {
  const [chosen, setChosen] = useState<boolean | null>(null);
  const body = useId();
  const open = chosen ?? startsOpen(item);
  const IconOf = TOOL_ICONS[item.tool];
  return (
    <div className={classes.tool}>
      <UnstyledButton
        className={`${classes.disclosure ?? ''} ${classes.toolHead ?? ''}`}
        aria-expanded={open}
        aria-controls={open ? body : undefined}
        onClick={() => {
          setChosen(!open);
        }}
      >
        <IconChevronRight size={14} className={classes.chevron} aria-hidden />
        <IconOf size={16} stroke={1.7} aria-hidden />
        <span className={classes.toolTitle}>{item.title}</span>
        <StatusIcon status={item.status} />
      </UnstyledButton>
      {open && (
        <div className={classes.toolBody} id={body}>
          <ToolBody item={item} />
        </div>
      )}
    </div>
  );
});

function StatusIcon({ status }: { status: ToolItem['status'] }) {
  const label = STATUS[status];
  switch (status) {
    case 'pending':
      return <IconCircleDashed size={15} color="var(--hx-dimmed)" aria-label={label} role="img" />;
    case 'in_progress':
      return <Loader size={14} role="img" aria-label={label} />;
    case 'completed':
      return <IconCheck size={15} color="var(--hx-bar-used)" aria-label={label} role="img" />;
    case 'failed':
      return (
        <IconAlertTriangle
          size={15}
          color="var(--mantine-color-error)"
          aria-label={label}
          role="img"
        />
      );
    case 'unfinished':
      return <IconPlayerStop size={15} color="var(--hx-dimmed)" aria-label={label} role="img" />;
  }
}

/** What a call works on, what it was given, and what it made. */
export function ToolBody({ item }: { item: ToolItem }) {
  const { content, input, output, locations, thread } = item;
  const nothing = content.length === 0 && input == null && output == null;
  return (
    <>
      {locations.length > 0 && (
        <Text size="xs" c="dimmed">
          {locations
            .slice(0, 20)
            .map(({ path, line }) => (line == null ? path : `${path}:${line}`))
            .join(', ')}
        </Text>
      )}
      {input != null && content.length === 0 && <Raw label="What it was given" value={input} />}
      {content.map((each, index) => (
        <Made key={index} content={each} thread={thread} />
      ))}
      {output != null && content.length === 0 && <Raw label="What it gave back" value={output} />}
      {nothing && (
        <Text size="xs" c="dimmed">
          Nothing more is known of it.
        </Text>
      )}
    </>
  );
}

function Made({ content, thread }: { content: ToolContent; thread: string }) {
  switch (content.type) {
    case 'content':
      return (
        <div>
          <Contents parts={[content.content]} />
        </div>
      );
    case 'diff':
      return (
        <Diff
          path={content.path}
          before={content.before ?? null}
          after={content.after}
          omitted={content.omitted_bytes ?? 0}
        />
      );
    case 'terminal':
      return <Terminal id={terminalKey(thread, content.terminal)} />;
  }
}

/** Longer values than this are cut: they are for programs. */
const MOST_RAW = 20_000;

function Raw({ label, value }: { label: string; value: unknown }) {
  const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2);
  const cut = text.length > MOST_RAW ? `${text.slice(0, MOST_RAW)}\n…` : text;
  return (
    <div>
      <Text size="xs" c="dimmed" mb={4}>
        {label}
      </Text>
      <Output text={cut} label={label} />
    </div>
  );
}

/** No more of a terminal's output is laid out. */
const MOST_SHOWN = 60_000;

function Terminal({ id }: { id: string }) {
  const terminal = use(TerminalsContext).get(id);
  if (!terminal) {
    return (
      <Text size="xs" c="dimmed">
        Nothing was written yet.
      </Text>
    );
  }
  const text = terminalText(terminal.output.slice(-MOST_SHOWN));
  const omitted = terminal.omitted + Math.max(0, terminal.output.length - MOST_SHOWN);
  return (
    <div>
      {omitted > 0 && (
        <Text size="xs" c="dimmed" mb={4}>
          {formatBytes(omitted)} before this are left out.
        </Text>
      )}
      <Output text={text} label="Output of the program" />
      <Exit terminal={terminal} />
    </div>
  );
}

function Exit({ terminal: { ended } }: { terminal: TerminalOutput }) {
  if (!ended || ended.code === 0) return null;
  return (
    <Text size="xs" c="dimmed" mt={4}>
      {ended.code === null ? 'Ended by a signal' : `Ended with status ${ended.code}`}
    </Text>
  );
}
