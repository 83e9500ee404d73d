import {
  ActionBarPrimitive,
  AuiIf,
  ComposerPrimitive,
  MessagePrimitive,
  useAuiState,
} from '@assistant-ui/react';
import { ActionIcon, Alert, Button, Group, Loader, Text, Tooltip } from '@mantine/core';
import { IconAlertTriangle, IconPencil, IconPlayerStop, IconRefresh } from '@tabler/icons-react';

import { sentence } from '../api/failure';
import type { Turn } from '../api/types';
import { CopyButton } from '../components/copy';
import { Logo } from '../components/logo';
import { useNow } from '../components/time';
import { formatDuration } from '../format';
import { AnswerText } from './markdown';
import classes from './thread.module.css';

/** The turn that the message around is half of; undefined while it is being sent. */
function useTurn(): Turn | undefined {
  return useAuiState(({ message }) => message.metadata.custom['turn'] as Turn | undefined);
}

export function QuestionMessage() {
  const text = useAuiState(({ message }) =>
    message.content.map((part) => (part.type === 'text' ? part.text : '')).join(''),
  );
  const editing = useAuiState(({ message }) => message.composer.isEditing);
  if (editing) return <EditQuestion />;
  return (
    <MessagePrimitive.Root className={classes.question} aria-label="You">
      <div className={classes.bubble}>{text}</div>
      <div className={classes.actions}>
        <CopyButton text={text} label="Copy the question" />
        <AuiIf condition={({ thread }) => !thread.isRunning}>
          <Tooltip label="Edit and ask again">
            <ActionBarPrimitive.Edit asChild>
              <ActionIcon aria-label="Edit and ask again">
                <IconPencil size={16} />
              </ActionIcon>
            </ActionBarPrimitive.Edit>
          </Tooltip>
        </AuiIf>
      </div>
    </MessagePrimitive.Root>
  );
}

function EditQuestion() {
  return (
    <MessagePrimitive.Root className={classes.question}>
      <ComposerPrimitive.Root className={classes.editor}>
        <ComposerPrimitive.Input autoFocus aria-label="Edit the question" maxRows={14} />
        <Group justify="space-between" mt={6} gap="xs">
          <Text size="xs" c="dimmed">
            This answer and everything after it are replaced.
          </Text>
          <Group gap="xs" ml="auto">
            <ComposerPrimitive.Cancel asChild>
              <Button size="compact-sm" variant="default">
                Cancel
              </Button>
            </ComposerPrimitive.Cancel>
            <ComposerPrimitive.Send asChild>
              <Button size="compact-sm">Ask again</Button>
            </ComposerPrimitive.Send>
          </Group>
        </Group>
      </ComposerPrimitive.Root>
    </MessagePrimitive.Root>
  );
}

export function AnswerMessage() {
  const turn = useTurn();
  if (!turn) {
    // The question is on its way.
    return (
      <MessagePrimitive.Root className={classes.answer}>
        <Progress text="Sending…" />
      </MessagePrimitive.Root>
    );
  }
  const ended = turn.state !== 'queued' && turn.state !== 'running';
  return (
    <MessagePrimitive.Root className={classes.answer} aria-label={`Answer by ${turn.model}`}>
      <div className={classes.from}>
        <Logo size={20} />
        {turn.model}
      </div>
      {turn.assistant_content !== '' && <AnswerText />}
      {turn.state === 'queued' && <Waiting turn={turn} />}
      {turn.state === 'running' && turn.assistant_content === '' && <Progress text="Thinking…" />}
      {turn.state === 'failed' && <Failure turn={turn} />}
      {turn.state === 'cancelled' && (
        <Text size="sm" c="dimmed" mt={4}>
          <IconPlayerStop size={14} style={{ verticalAlign: -2 }} aria-hidden /> You stopped this
          answer.
        </Text>
      )}
      {ended && <AnswerActions turn={turn} />}
    </MessagePrimitive.Root>
  );
}

function AnswerActions({ turn }: { turn: Turn }) {
  return (
    <div className={classes.actions}>
      {turn.assistant_content !== '' && (
        <CopyButton text={turn.assistant_content} label="Copy the answer" />
      )}
      {turn.state !== 'failed' && (
        <AuiIf condition={({ thread }) => !thread.isRunning}>
          <Tooltip label="Answer again">
            <ActionBarPrimitive.Reload asChild>
              <ActionIcon aria-label="Answer again">
                <IconRefresh size={16} />
              </ActionIcon>
            </ActionBarPrimitive.Reload>
          </Tooltip>
        </AuiIf>
      )}
      <span className={classes.meta}>{measures(turn)}</span>
    </div>
  );
}

/** How long the answer took, and how many tokens it has. */
function measures(turn: Turn): string {
  const parts: string[] = [];
  if (turn.usage) parts.push(`${turn.usage.completion_tokens.toLocaleString()} tokens`);
  if (turn.ended_at_ms != null) {
    const took = turn.ended_at_ms - turn.created_at_ms;
    const tenths = Math.max(0.1, took / 1_000).toFixed(1);
    parts.push(took < 10_000 ? `${tenths} s` : formatDuration(took));
  }
  return parts.join(' · ');
}

function Waiting({ turn }: { turn: Turn }) {
  const waited = useNow() - turn.created_at_ms;
  const since = waited >= 3_000 ? ` · ${formatDuration(waited)}` : '';
  // As it came, not as a sentence: the reason may begin with the name of a model.
  return <Progress text={`${turn.waiting_for ?? 'waiting for a place'}${since}`} />;
}

function Progress({ text }: { text: string }) {
  return (
    <div className={classes.waiting}>
      <Loader size={16} type="dots" mt={3} aria-hidden />
      <span>{text}</span>
    </div>
  );
}

function Failure({ turn }: { turn: Turn }) {
  return (
    <Alert
      color="red"
      mt="xs"
      icon={<IconAlertTriangle size={18} />}
      title={turn.assistant_content === '' ? 'No answer' : 'The answer broke off'}
    >
      <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
        {sentence(turn.error ?? 'No reason was given')}
      </Text>
      <AuiIf condition={({ thread }) => !thread.isRunning}>
        <ActionBarPrimitive.Reload asChild>
          <Button size="xs" variant="default" mt="sm" leftSection={<IconRefresh size={14} />}>
            Try again
          </Button>
        </ActionBarPrimitive.Reload>
      </AuiIf>
    </Alert>
  );
}
