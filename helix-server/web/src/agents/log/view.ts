/** What a page shows of an agent at work: all of it follows from the session's log. */
import type {
  AgentCommand,
  AgentPhase,
  AgentChoice,
  AgentContent,
  AgentCost,
  QueueHeldBecause,
  ToolLocation,
  PermissionAnswer,
  PermissionOption,
  PlanEntry,
  QueuedPrompt,
  ToolContent,
  ToolKind,
  ToolStatus,
  TurnEnd,
  TurnWaitingFor,
} from '../../api/types';

/** What every part of the conversation has. */
interface Part {
  /** The event that it began with; no two parts have the same. */
  readonly seq: number;
  readonly atMs: number;
}

export interface PromptItem extends Part {
  readonly kind: 'prompt';
  readonly turn: string;
  readonly content: readonly AgentContent[];
  /** Whether an editor in the sandbox wanted it. */
  readonly fromEditor: boolean;
}

/** What the agent says or thinks, in one go. */
export interface SpeechItem extends Part {
  readonly kind: 'message' | 'thought';
  readonly parts: readonly AgentContent[];
}

export interface ToolItem extends Part {
  readonly kind: 'tool';
  readonly thread: string;
  readonly id: string;
  readonly title: string;
  readonly tool: ToolKind;
  /** `unfinished`: its turn ended before it did. */
  readonly status: ToolStatus | 'unfinished';
  readonly content: readonly ToolContent[];
  readonly locations: readonly ToolLocation[];
  readonly input: unknown;
  readonly output: unknown;
  /** When it was done. */
  readonly endedAtMs: number | null;
}

export interface PermissionItem extends Part {
  readonly kind: 'permission';
  readonly thread: string;
  readonly request: number;
  /** What it is about, for people. */
  readonly title: string;
  /** Where the call is among the items. */
  readonly call: number;
  readonly options: readonly PermissionOption[];
  /** When nobody can answer any more. */
  readonly endsAtMs: number | null;
  readonly answer: PermissionAnswer | null;
}

/** How a turn ended. */
export interface EndItem extends Part {
  readonly kind: 'end';
  readonly turn: string;
  readonly end: TurnEnd;
  /** How long the agent was at it; null if it never had it. */
  readonly tookMs: number | null;
}

export interface NoticeItem extends Part {
  readonly kind: 'notice';
  readonly text: string;
  /** Whether something went wrong. */
  readonly wrong: boolean;
}

export type Item = PromptItem | SpeechItem | ToolItem | PermissionItem | EndItem | NoticeItem;

/** The turn in flight. */
export interface Flight {
  readonly id: string;
  readonly state: 'dispatched' | 'running' | 'awaiting';
  readonly startedAtMs: number;
  /** The count-down that is on, and since when. */
  readonly waiting: {
    readonly what: TurnWaitingFor;
    readonly sinceMs: number;
    readonly endsAtMs: number;
  } | null;
}

/** How far git is with the session's repository. */
export interface Cloning {
  /** In git's words; empty before it said any. */
  readonly what: string;
  readonly percent: number | null;
  readonly sinceMs: number;
}

/** A terminal that the agent opened: the end of what was written. */
export interface TerminalOutput {
  readonly output: string;
  /** How much before it is not kept; of what the host left out, bytes. */
  readonly omitted: number;
  readonly ended: { readonly code: number | null } | null;
}

export interface Choices {
  readonly current: string;
  readonly available: readonly AgentChoice[];
}

export interface Usage {
  readonly contextTokens: number;
  readonly contextSize: number;
  readonly cost: AgentCost | null;
}

export type MomentKind =
  | 'prompt'
  | 'queue'
  | 'turn'
  | 'message'
  | 'thought'
  | 'tool'
  | 'terminal'
  | 'permission'
  | 'plan'
  | 'agent'
  | 'notice';

/** One line of the timeline. */
export interface Moment {
  readonly seq: number;
  readonly atMs: number;
  readonly kind: MomentKind;
  /** For people; of what is said, thought or written: empty, and the text is with its item. */
  readonly text: string;
  /** What it is about, among the items. */
  readonly item: number | null;
}

export interface AgentLog {
  /** The last event that is in. */
  readonly seq: number;
  /** The conversation, oldest first: nothing leaves it, and nothing changes its place. */
  readonly items: readonly Item[];
  readonly timeline: readonly Moment[];
  readonly queue: readonly QueuedPrompt[];
  readonly held: QueueHeldBecause | null;
  readonly turn: Flight | null;
  /** The permission requests that are open, as places in `items`. */
  readonly permissions: readonly number[];
  readonly plan: readonly PlanEntry[];
  /** While the repository is being cloned. */
  readonly cloning: Cloning | null;
  readonly phase: {
    readonly phase: AgentPhase;
    readonly detail: string;
    readonly atMs: number;
  } | null;
  readonly modes: Choices | null;
  readonly models: Choices | null;
  readonly commands: readonly AgentCommand[];
  readonly usage: Usage | null;
  /** By `terminalKey`. */
  readonly terminals: ReadonlyMap<string, TerminalOutput>;
  /** Where the last call of an id is among the items, by thread and id. */
  readonly calls: ReadonlyMap<string, number>;
  /** The calls of the turn in flight, as places in `items`. */
  readonly open: readonly number[];
  /** Whether the agent ever had a session. */
  readonly hadSession: boolean;
}

export const EMPTY_LOG: AgentLog = {
  seq: 0,
  items: [],
  timeline: [],
  queue: [],
  held: null,
  turn: null,
  permissions: [],
  plan: [],
  phase: null,
  cloning: null,
  modes: null,
  models: null,
  commands: [],
  usage: null,
  terminals: new Map(),
  calls: new Map(),
  open: [],
  hadSession: false,
};

/** Agents choose the ids of terminals and calls, each for a thread of its own. */
export const terminalKey = (thread: string, terminal: string): string => `${thread} ${terminal}`;
export const callKey = terminalKey;

/** The permission requests that wait for an answer, oldest first. */
export function openPermissions(log: AgentLog): PermissionItem[] {
  return log.permissions.flatMap((place) => {
    const item = log.items[place];
    return item?.kind === 'permission' ? [item] : [];
  });
}
