import { ActionIcon, Button, VisuallyHidden } from '@mantine/core';
import { IconArrowDown } from '@tabler/icons-react';
import { useState, type ReactNode } from 'react';

import type { AgentLog, Item } from '../log/view';
import { contentText, describeEnd } from '../log/words';
import { ItemView } from './items';
import classes from './session.module.css';
import { useEnd } from './use-end';

/** No more parts than these are laid out at first; so many more each time somebody asks. */
const SHOWN = 150;

/** What was said and done, oldest first; the end of it stays in sight until somebody scrolls. */
export function Conversation({ log, below }: { log: AgentLog; below: ReactNode }) {
  const { items } = log;
  const [from, setFrom] = useState(() => Math.max(0, items.length - SHOWN));
  const { viewport, content, atEnd, toEnd } = useEnd();
  // Nobody reads the beginning while the end is in sight.
  if (atEnd && items.length - from > 2 * SHOWN) setFrom(items.length - SHOWN);
  const last = items.length - 1;
  return (
    <div className={classes.conversation}>
      <div
        ref={viewport}
        className={classes.viewport}
        role="region"
        aria-label="Conversation"
        // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls
        tabIndex={0}
      >
        <div ref={content} className={classes.items}>
          {from > 0 && (
            <Button
              size="xs"
              variant="default"
              fullWidth
              mb="md"
              onClick={() => {
                setFrom(Math.max(0, from - SHOWN));
              }}
            >
              Show earlier ({from.toLocaleString()} more)
            </Button>
          )}
          {items.slice(from).map((item, index) => (
            <div key={item.seq} className={classes.item} data-kind={item.kind}>
              <ItemView item={item} running={log.turn !== null && from + index === last} />
            </div>
          ))}
        </div>
      </div>
      <div className={classes.anchor}>
        {!atEnd && (
          <ActionIcon
            variant="default"
            radius="xl"
            size={34}
            className={classes.toEnd}
            aria-label="Go to the end"
            onClick={toEnd}
          >
            <IconArrowDown size={17} />
          </ActionIcon>
        )}
        {below}
      </div>
      <Announcer item={items[last]} running={log.turn !== null} />
    </div>
  );
}

/** Tells people who listen what is new, once it is whole. */
function Announcer({ item, running }: { item: Item | undefined; running: boolean }) {
  return (
    <VisuallyHidden role="status" aria-live="polite">
      {item ? announcement(item, running) : ''}
    </VisuallyHidden>
  );
}

function announcement(item: Item, running: boolean): string {
  switch (item.kind) {
    case 'message':
      return running ? 'The agent writes.' : contentText(item.parts);
    case 'thought':
      return 'The agent thinks.';
    case 'tool':
      return item.title;
    case 'permission':
      return item.answer ? '' : `The agent asks for permission: ${item.title}`;
    case 'end':
      return describeEnd(item.end);
    case 'prompt':
    case 'notice':
      return '';
  }
}
