import { Alert, Text, UnstyledButton } from '@mantine/core';
import {
  IconAlertTriangle,
  IconChevronRight,
  IconInfoCircle,
  IconPlayerStop,
  IconShieldCheck,
} from '@tabler/icons-react';
import { memo, useId, useState } from 'react';

import { sentence } from '../../api/failure';
import { CopyButton } from '../../components/copy';
import { formatDuration } from '../../format';
import type {
  EndItem,
  Item,
  NoticeItem,
  PermissionItem,
  PromptItem,
  SpeechItem,
} from '../log/view';
import { contentText, describeAnswer, describeEnd } from '../log/words';
import { Contents } from './content';
import classes from './session.module.css';
import { ToolCall } from './tool-call';

/** A part of the conversation. */
export const ItemView = memo(function ItemView(props: { item: Item; running: boolean }) {
  const { item, running } = props;
  switch (item.kind) {
    case 'prompt':
      return <Prompt item={item} />;
    case 'message':
      return <Message item={item} running={running} />;
    case 'thought':
      return <Thought item={item} running={running} />;
    case 'tool':
      return <ToolCall item={item} />;
    case 'permission':
      return <Permission item={item} />;
    case 'end':
      return <End item={item} />;
    case 'notice':
      return <Notice item={item} />;
  }
});

function Prompt({ item }: { item: PromptItem }) {
  return (
    <div className={classes.prompt} role="group" aria-label="You">
      <div className={classes.bubble}>
        <Contents parts={item.content} typed />
      </div>
      {item.fromEditor && <div className={classes.small}>From an editor in the sandbox</div>}
    </div>
  );
}

function Message({ item, running }: { item: SpeechItem; running: boolean }) {
  return (
    <div>
      {!running && (
        <div className={classes.copy}>
          <CopyButton text={contentText(item.parts)} label="Copy the message" />
        </div>
      )}
      <Contents parts={item.parts} running={running} />
    </div>
  );
}

function Thought({ item, running }: { item: SpeechItem; running: boolean }) {
  const [chosen, setChosen] = useState<boolean | null>(null);
  const body = useId();
  const open = chosen ?? running;
  return (
    <div>
      <UnstyledButton
        className={classes.disclosure}
        aria-expanded={open}
        aria-controls={open ? body : undefined}
        onClick={() => {
          setChosen(!open);
        }}
      >
        <IconChevronRight size={14} className={classes.chevron} aria-hidden />
        <Text size="sm" c="dimmed" component="span">
          {running ? 'Thinking…' : 'Thought'}
        </Text>
      </UnstyledButton>
      {open && (
        <div className={classes.thought} id={body}>
          <Contents parts={item.parts} running={running} />
        </div>
      )}
    </div>
  );
}

/** One that is open is asked below, where it is not missed. */
function Permission({ item }: { item: PermissionItem }) {
  const answer = describeAnswer(item);
  return (
    <div className={classes.end}>
      <IconShieldCheck size={14} aria-hidden />
      {answer === null ? 'Asks for your permission' : answer}: {item.title}
    </div>
  );
}

function End({ item: { end, tookMs } }: { item: EndItem }) {
  const took = tookMs === null ? '' : ` · ${formatDuration(tookMs)}`;
  if (end.outcome === 'failed') {
    return (
      <Alert color="red" icon={<IconAlertTriangle size={18} />} title="The turn failed">
        <Text size="sm">{sentence(end.reason)}</Text>
      </Alert>
    );
  }
  return (
    <div className={classes.end}>
      {end.outcome === 'cancelled' && <IconPlayerStop size={14} aria-hidden />}
      {describeEnd(end)}
      {took}
    </div>
  );
}

function Notice({ item: { text, wrong } }: { item: NoticeItem }) {
  const IconOf = wrong ? IconAlertTriangle : IconInfoCircle;
  return (
    <Alert color={wrong ? 'yellow' : 'gray'} py="xs" icon={<IconOf size={16} />}>
      <Text size="sm">{text}</Text>
    </Alert>
  );
}
