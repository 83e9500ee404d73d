import { ActionIcon, Button, Group, Modal, Stack, Textarea, Tooltip } from '@mantine/core';
import {
  IconArrowDown,
  IconArrowUp,
  IconGripVertical,
  IconPencil,
  IconPlayerPlay,
  IconTrash,
} from '@tabler/icons-react';
import { useState } from 'react';

import type { AgentContent, QueuedPrompt } from '../../api/types';
import { count } from '../../format';
import { useDrives } from '../../sessions/right';
import type { AgentLog } from '../log/view';
import { contentText, HELD } from '../log/words';
import type { Agent } from '../use-agent';
import classes from './session.module.css';

/** The prompts that wait: changed, moved by hand or by keyboard, taken out, let go on. */
export function Queue({ log, agent }: { log: AgentLog; agent: Agent }) {
  const { queue, held } = log;
  const drives = useDrives();
  const [editing, setEditing] = useState<QueuedPrompt | null>(null);
  const [dragged, setDragged] = useState<string | null>(null);
  const [over, setOver] = useState<string | null>(null);
  if (queue.length === 0) return null;
  const drop = (onto: number) => {
    if (dragged !== null) void agent.move(dragged, onto);
    setDragged(null);
    setOver(null);
  };
  return (
    <section className={classes.queue} aria-label="Prompts that wait">
      <div className={classes.queueHead}>
        <span>
          {count(queue.length, 'prompt')} {queue.length === 1 ? 'waits' : 'wait'}
          {held && `: ${HELD[held]}`}
        </span>
        {held && drives && (
          <Button
            size="compact-xs"
            leftSection={<IconPlayerPlay size={13} />}
            onClick={() => void agent.release()}
          >
            Go on
          </Button>
        )}
      </div>
      <ol className={classes.queueList}>
        {queue.map((prompt, index) => (
          // Dragging has its counterpart for the keyboard in the buttons.
          // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions -- see above
          <li
            key={prompt.turn}
            className={classes.queued}
            data-over={over === prompt.turn || undefined}
            draggable={drives}
            onDragStart={(event) => {
              event.dataTransfer.effectAllowed = 'move';
              event.dataTransfer.setData('text/plain', contentText(prompt.content));
              setDragged(prompt.turn);
            }}
            onDragOver={(event) => {
              if (dragged === null) return;
              event.preventDefault();
              setOver(prompt.turn);
            }}
            onDrop={(event) => {
              event.preventDefault();
              drop(index);
            }}
            onDragEnd={() => {
              setDragged(null);
              setOver(null);
            }}
          >
            {drives && <IconGripVertical size={15} className={classes.grip} aria-hidden />}
            <span className={classes.queuedText}>{contentText(prompt.content)}</span>
            {drives && (
              <Actions
                prompt={prompt}
                index={index}
                length={queue.length}
                agent={agent}
                onEdit={() => {
                  setEditing(prompt);
                }}
              />
            )}
          </li>
        ))}
      </ol>
      {editing && (
        <Edit
          prompt={editing}
          agent={agent}
          onClose={() => {
            setEditing(null);
          }}
        />
      )}
    </section>
  );
}

interface ActionsProps {
  prompt: QueuedPrompt;
  index: number;
  length: number;
  agent: Agent;
  onEdit: () => void;
}

function Actions({ prompt, index, length, agent, onEdit }: ActionsProps) {
  const { turn } = prompt;
  const which = `prompt ${index + 1}`;
  const tools = [
    {
      label: `Move ${which} up`,
      icon: IconArrowUp,
      off: index === 0,
      act: () => void agent.move(turn, index - 1),
    },
    {
      label: `Move ${which} down`,
      icon: IconArrowDown,
      off: index === length - 1,
      act: () => void agent.move(turn, index + 1),
    },
    { label: `Change ${which}`, icon: IconPencil, off: false, act: onEdit },
    {
      label: `Remove ${which}`,
      icon: IconTrash,
      off: false,
      act: () => void agent.remove(turn),
    },
  ];
  return tools.map(({ label, icon: IconOf, off, act }) => (
    <Tooltip key={label} label={label}>
      <ActionIcon size={26} aria-label={label} disabled={off} onClick={act}>
        <IconOf size={15} />
      </ActionIcon>
    </Tooltip>
  ));
}

function Edit(props: { prompt: QueuedPrompt; agent: Agent; onClose: () => void }) {
  const { prompt, agent, onClose } = props;
  const words = prompt.content.filter((part) => part.type === 'text');
  const [text, setText] = useState(contentText(words));
  const [busy, setBusy] = useState(false);
  const save = async () => {
    setBusy(true);
    const kept = prompt.content.filter((part) => part.type !== 'text');
    const said: AgentContent[] = text.trim() === '' ? [] : [{ type: 'text', text: text.trim() }];
    if (await agent.edit(prompt.turn, [...said, ...kept])) onClose();
    else setBusy(false);
  };
  const empty = text.trim() === '' && words.length === prompt.content.length;
  return (
    <Modal opened onClose={onClose} title="Change the prompt" size="lg">
      <Stack>
        <Textarea
          label="Prompt"
          minRows={4}
          maxRows={16}
          data-autofocus
          value={text}
          onChange={(event) => {
            setText(event.currentTarget.value);
          }}
        />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button loading={busy} disabled={empty} onClick={() => void save()}>
            Save
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
