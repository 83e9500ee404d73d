import { AuiIf, ComposerPrimitive } from '@assistant-ui/react';
import { ActionIcon, Tooltip } from '@mantine/core';
import { IconArrowUp, IconPlayerStopFilled } from '@tabler/icons-react';

import { COMPOSER_ID } from '../shell/shortcuts';
import classes from './composer.module.css';
import { ModelPicker } from './model-picker';

/** The longest message that the server takes, in UTF-16 units: bytes are checked there. */
const MAX_LENGTH = 1_000_000;

/** Where a finger is the pointer, a keyboard that pops up by itself is in the way. */
const finePointer = window.matchMedia('(pointer: fine)').matches;

/** Where a message is written. */
export function Composer() {
  return (
    <ComposerPrimitive.Root className={classes.root}>
      <ComposerPrimitive.Input
        id={COMPOSER_ID}
        className={classes.input}
        placeholder="Ask anything"
        aria-label="Message"
        maxLength={MAX_LENGTH}
        maxRows={12}
        minRows={1}
        autoFocus={finePointer}
        unstable_insertNewlineOnTouchEnter
        addAttachmentOnPaste={false}
      />
      <div className={classes.bar}>
        <ModelPicker />
        <span style={{ flex: 1 }} />
        <AuiIf condition={({ thread }) => !thread.isRunning}>
          <Tooltip label="Send (Enter)">
            <ComposerPrimitive.Send asChild>
              <ActionIcon
                size={34}
                radius="xl"
                variant="filled"
                color="brand"
                aria-label="Send the message"
              >
                <IconArrowUp size={18} stroke={2.2} />
              </ActionIcon>
            </ComposerPrimitive.Send>
          </Tooltip>
        </AuiIf>
        <AuiIf condition={({ thread }) => thread.isRunning}>
          <Tooltip label="Stop (Esc)">
            <ComposerPrimitive.Cancel asChild>
              <ActionIcon
                size={34}
                radius="xl"
                variant="filled"
                color="dark"
                className={classes.stop}
                aria-label="Stop the answer"
              >
                <IconPlayerStopFilled size={15} />
              </ActionIcon>
            </ComposerPrimitive.Cancel>
          </Tooltip>
        </AuiIf>
      </div>
    </ComposerPrimitive.Root>
  );
}
