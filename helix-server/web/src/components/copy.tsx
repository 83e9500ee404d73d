import { ActionIcon, Box, Button, Code, Group, Tooltip } from '@mantine/core';
import { IconCheck, IconCopy } from '@tabler/icons-react';

import classes from './copy.module.css';
import { useCopy } from './use-copy';

const FAILED = 'The browser did not allow it: select and copy';

/** A small button that copies a text. */
export function CopyButton({ text, label }: { text: string; label: string }) {
  const { copied, failed, copy } = useCopy();
  const says = copied ? 'Copied' : failed ? FAILED : label;
  return (
    <Tooltip label={says}>
      <ActionIcon
        aria-label={says}
        onClick={() => {
          copy(text);
        }}
      >
        {copied ? <IconCheck size={16} /> : <IconCopy size={16} />}
      </ActionIcon>
    </Tooltip>
  );
}

/** A text that is shown to be copied: a command, or a secret shown once. */
export function CopyBlock({ text, label }: { text: string; label: string }) {
  const { copied, failed, copy } = useCopy();
  return (
    <Box className={classes.block}>
      <Group gap="xs" p="sm" align="flex-start" wrap="nowrap">
        <Code block role="group" aria-label={label} className={classes.text}>
          {text}
        </Code>
        <Button
          size="compact-sm"
          variant="default"
          leftSection={copied ? <IconCheck size={14} /> : <IconCopy size={14} />}
          onClick={() => {
            copy(text);
          }}
        >
          {copied ? 'Copied' : failed ? 'Select it' : 'Copy'}
        </Button>
      </Group>
    </Box>
  );
}
