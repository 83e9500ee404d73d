/** What there is, in words for people. */
import type {
  AgentContent,
  QueueHeldBecause,
  PermissionOptionKind,
  StopReason,
  TurnEnd,
  TurnWaitingFor,
} from '../../api/types';
import { formatDuration } from '../../format';
import type { AgentLog, Item, Moment, PermissionItem } from './view';

export const HELD: Record<QueueHeldBecause, string> = {
  interrupted: 'the agent was interrupted',
  failed: 'the turn before failed',
};

export const WAITING: Record<TurnWaitingFor, string> = {
  start: 'Waiting for the agent to take the prompt',
  agent: 'The agent is silent',
  host: 'Waiting for the sandbox’s host to be back',
  cancel: 'Waiting for the agent to stop',
};

const STOPPED: Record<StopReason, string> = {
  end_turn: 'Done',
  max_tokens: 'It stopped at the model’s limit of tokens',
  max_turn_requests: 'It stopped at its limit of requests to the model',
  refusal: 'It refused to go on',
  other: 'It stopped',
};

const OPTIONS: Record<PermissionOptionKind, string> = {
  allow_once: 'Allowed once',
  allow_always: 'Always allowed',
  reject_once: 'Rejected',
  reject_always: 'Always rejected',
};

/** The words of a prompt, a message or the like; what is no text is named. */
export function contentText(content: readonly AgentContent[]): string {
  return content
    .map((each) => {
      switch (each.type) {
        case 'text':
          return each.text;
        case 'image':
          return '[picture]';
        case 'audio':
          return '[sound]';
        case 'link':
          return each.name || each.uri;
        case 'resource':
          return each.uri;
      }
    })
    .join(' ');
}

export function describeEnd(end: TurnEnd): string {
  switch (end.outcome) {
    case 'completed':
      return STOPPED[end.stop];
    case 'cancelled':
      return 'Stopped';
    case 'failed':
      return `Failed: ${end.reason}`;
  }
}

/** How a permission request ended; null while it is open. */
export function describeAnswer({ answer, options }: PermissionItem): string | null {
  if (!answer) return null;
  if (answer.outcome === 'cancelled') return 'Nobody answered';
  const chosen = options.find(({ id }) => id === answer.option);
  return chosen ? OPTIONS[chosen.kind] : 'Answered';
}

function itemText(item: Item): string {
  switch (item.kind) {
    case 'prompt':
      return contentText(item.content);
    case 'message':
    case 'thought':
      return contentText(item.parts);
    case 'tool':
      return item.title;
    case 'permission':
      return item.title;
    case 'end': {
      const took = item.tookMs === null ? '' : `, after ${formatDuration(item.tookMs)}`;
      return `${describeEnd(item.end)}${took}`;
    }
    case 'notice':
      return item.text;
  }
}

/** What a line of the timeline says. */
export function momentText(log: AgentLog, { text, item }: Moment): string {
  const about = item === null ? undefined : log.items[item];
  if (!about) return text;
  return text === '' ? itemText(about) : `${text}: ${itemText(about)}`;
}
