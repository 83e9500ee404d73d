import { ThreadPrimitive, useAui, useAuiState } from '@assistant-ui/react';
import { ActionIcon, VisuallyHidden } from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import { IconArrowDown } from '@tabler/icons-react';

import type { Turn } from '../api/types';
import { Announcer } from './announcer';
import { AnswerMessage, QuestionMessage } from './messages';
import { Composer } from './composer';
import classes from './thread.module.css';
import { Welcome } from './welcome';

/** A conversation and the field to go on with it. */
export function Thread({ heading, turns }: { heading: string; turns: Turn[] | undefined }) {
  useStopKey();
  const empty = useAuiState(({ thread }) => thread.messages.length === 0);
  return (
    <ThreadPrimitive.Root className={classes.root}>
      <VisuallyHidden>
        <h1>{heading}</h1>
      </VisuallyHidden>
      <Announcer turns={turns} />
      {empty ? (
        <div className={classes.empty}>
          <Welcome />
        </div>
      ) : (
        <ThreadPrimitive.Viewport
          className={classes.viewport}
          role="region"
          aria-label="Conversation"
          tabIndex={0}
        >
          <div className={classes.messages}>
            <ThreadPrimitive.Messages>
              {({ message }) => (message.role === 'user' ? <QuestionMessage /> : <AnswerMessage />)}
            </ThreadPrimitive.Messages>
          </div>
          <div className={classes.footer}>
            <ThreadPrimitive.ScrollToBottom asChild>
              <ActionIcon
                variant="default"
                radius="xl"
                size={34}
                className={classes.toBottom}
                aria-label="Go to the end"
              >
                <IconArrowDown size={17} />
              </ActionIcon>
            </ThreadPrimitive.ScrollToBottom>
            <Composer />
            <p className={classes.caution}>Models make mistakes. Check what matters.</p>
          </div>
        </ThreadPrimitive.Viewport>
      )}
    </ThreadPrimitive.Root>
  );
}

/** Escape stops the answer, wherever the focus is. */
function useStopKey(): void {
  const aui = useAui();
  useHotkeys(
    [
      [
        'Escape',
        (event) => {
          const target = event.target;
          const inside = target instanceof Element && target.closest('[role=dialog],[role=menu]');
          if (inside || event.defaultPrevented) return;
          if (aui.thread.getState().isRunning) aui.thread.cancelRun();
        },
        { preventDefault: false },
      ],
    ],
    [],
  );
}
