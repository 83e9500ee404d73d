import { Button, Text, TextInput } from '@mantine/core';
import {
  IconBrain,
  IconFlag,
  IconInfoCircle,
  IconListCheck,
  IconListNumbers,
  IconMessage,
  IconRobot,
  IconSearch,
  IconShieldQuestion,
  IconTerminal2,
  IconTimeline,
  IconTool,
  IconUser,
  type Icon,
} from '@tabler/icons-react';
import { useDeferredValue, useMemo, useState } from 'react';

import { EmptyState } from '../../components/states';
import { count, formatDateTime } from '../../format';
import type { AgentLog, MomentKind } from '../log/view';
import { searchTimeline } from '../log/search';
import classes from './session.module.css';

const ICONS: Record<MomentKind, Icon> = {
  prompt: IconUser,
  queue: IconListNumbers,
  turn: IconFlag,
  message: IconMessage,
  thought: IconBrain,
  tool: IconTool,
  terminal: IconTerminal2,
  permission: IconShieldQuestion,
  plan: IconListCheck,
  agent: IconRobot,
  notice: IconInfoCircle,
};

const NAMES: Record<MomentKind, string> = {
  prompt: 'You',
  queue: 'Queue',
  turn: 'Turn',
  message: 'Agent says',
  thought: 'Agent thinks',
  tool: 'Tool',
  terminal: 'Terminal',
  permission: 'Permission',
  plan: 'Plan',
  agent: 'Agent',
  notice: 'Notice',
};

const TIME = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
});
/** No more lines than these are laid out at first; so many more each time somebody asks. */
const SHOWN = 200;
/** Of a long text, a line of the timeline is the beginning. */
const MOST_TEXT = 400;

/** Everything that happened, newest last, with its time; to be searched. */
export function TimelineTab({ log }: { log: AgentLog }) {
  const [text, setText] = useState('');
  const [shown, setShown] = useState(SHOWN);
  const search = useDeferredValue(text);
  const current = useDeferredValue(log);
  const found = useMemo(() => searchTimeline(current, search), [current, search]);
  if (log.timeline.length === 0) {
    return (
      <EmptyState icon={IconTimeline} title="Nothing happened yet">
        Everything that is said and done here is listed with its time.
      </EmptyState>
    );
  }
  const lines = found.slice(-shown);
  return (
    <>
      <TextInput
        type="search"
        placeholder="Search the timeline"
        aria-label="Search the timeline"
        leftSection={<IconSearch size={15} aria-hidden />}
        value={text}
        onChange={(event) => {
          setText(event.currentTarget.value);
          setShown(SHOWN);
        }}
      />
      <Text size="xs" c="dimmed" my={6} role="status">
        {search.trim() === ''
          ? count(found.length, 'entry', 'entries')
          : `${count(found.length, 'entry', 'entries')} with “${search.trim()}”`}
      </Text>
      {found.length > lines.length && (
        <Button
          size="xs"
          variant="default"
          fullWidth
          onClick={() => {
            setShown(shown + SHOWN);
          }}
        >
          Show earlier
        </Button>
      )}
      <ol className={classes.moments}>
        {lines.map(({ moment, text: words }) => {
          const IconOf = ICONS[moment.kind];
          return (
            <li key={`${moment.seq} ${moment.text}`} className={classes.moment}>
              <time
                dateTime={new Date(moment.atMs).toISOString()}
                title={formatDateTime(moment.atMs)}
              >
                {TIME.format(moment.atMs)}
              </time>
              <IconOf size={16} stroke={1.7} role="img" aria-label={NAMES[moment.kind]} />
              <span className={classes.momentText}>
                {words.length > MOST_TEXT ? `${words.slice(0, MOST_TEXT)}…` : words}
              </span>
            </li>
          );
        })}
      </ol>
    </>
  );
}
