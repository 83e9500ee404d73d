/** The wire types of agents at work, until the OpenAPI document has them. */

export type Content =
  | { type: 'text'; text: string }
  | { type: 'image' | 'audio'; mime: string; data: string }
  | { type: 'link'; uri: string; name: string }
  | { type: 'resource'; uri: string; text: string };

export type ToolKind =
  | 'read'
  | 'edit'
  | 'delete'
  | 'move'
  | 'search'
  | 'execute'
  | 'think'
  | 'fetch'
  | 'switch_mode'
  | 'other';
export type ToolStatus = 'pending' | 'in_progress' | 'completed' | 'failed';

export interface Diff {
  path: string;
  before?: string | null;
  after: string;
  omitted_bytes?: number;
}

export type ToolContent =
  | { type: 'content'; content: Content }
  | ({ type: 'diff' } & Diff)
  | { type: 'terminal'; terminal: string };

export interface Location {
  path: string;
  line?: number | null;
}

export interface ToolCall {
  id: string;
  title: string;
  kind?: ToolKind;
  status?: ToolStatus;
  content?: ToolContent[];
  locations?: Location[];
  input?: unknown;
}

export interface ToolUpdate {
  id: string;
  title?: string | null;
  kind?: ToolKind | null;
  status?: ToolStatus | null;
  content?: ToolContent[] | null;
  locations?: Location[] | null;
  input?: unknown;
  output?: unknown;
}

export interface Choice {
  id: string;
  name: string;
  description?: string | null;
}

export interface AgentCommand {
  name: string;
  description: string;
  hint?: string | null;
}

export interface PlanEntry {
  content: string;
  priority: 'high' | 'medium' | 'low';
  status: 'pending' | 'in_progress' | 'completed';
}

export type OptionKind = 'allow_once' | 'allow_always' | 'reject_once' | 'reject_always';

export interface PermissionOption {
  id: string;
  name: string;
  kind: OptionKind;
}

export type PermissionAnswer = { outcome: 'selected'; option: string } | { outcome: 'cancelled' };

export interface Cost {
  micros: number;
  currency: string;
}

export type AgentPhase = 'starting' | 'ready' | 'stopped';
export type StopReason = 'end_turn' | 'max_tokens' | 'max_turn_requests' | 'refusal' | 'other';

export type TurnEnd =
  | { outcome: 'completed'; stop: StopReason }
  | { outcome: 'cancelled' }
  | { outcome: 'failed'; reason: string };

export type EventBody =
  | { type: 'agent'; phase: AgentPhase; detail?: string }
  | { type: 'session'; session: string; resumed: boolean }
  | { type: 'modes' | 'models'; current: string; available: Choice[] }
  | { type: 'commands'; available: AgentCommand[] }
  | { type: 'turn_started'; turn: string }
  | { type: 'message' | 'thought'; content: Content }
  | ({ type: 'tool_call' } & ToolCall)
  | ({ type: 'tool_update' } & ToolUpdate)
  | { type: 'terminal'; terminal: string; output: string; omitted_bytes?: number }
  | { type: 'terminal_ended'; terminal: string; code?: number | null }
  | { type: 'plan'; entries: PlanEntry[] }
  | { type: 'permission_requested'; call: ToolUpdate; options: PermissionOption[] }
  | { type: 'permission_resolved'; request: number; answer: PermissionAnswer }
  | { type: 'usage'; context_tokens: number; context_size: number; cost?: Cost | null }
  | { type: 'title'; title: string }
  | ({ type: 'turn_ended'; turn: string } & TurnEnd)
  | { type: 'wanted'; what: string }
  | { type: 'notice'; text: string }
  | { type: 'closed' };

export type AgentEvent = { seq: number; at_ms: number } & EventBody;

export interface QueuedPrompt {
  turn: string;
  content: Content[];
  wanted?: { thread: string; seq: number } | null;
}

export type HeldBecause = 'interrupted' | 'failed';
export type Waiting = 'start' | 'agent' | 'host' | 'cancel';

export type Entry =
  | { type: 'prompt_queued'; prompt: QueuedPrompt; position: number }
  | { type: 'prompt_edited'; prompt: QueuedPrompt }
  | { type: 'prompt_moved'; turn: string; position: number }
  | { type: 'queue_held'; because: HeldBecause }
  | { type: 'queue_released' }
  | { type: 'turn_dispatched' | 'turn_running' | 'turn_goes_on'; turn: string }
  | { type: 'turn_awaiting'; turn: string; request: number; ends_at_ms: number }
  | { type: 'turn_waiting'; turn: string; waiting: Waiting; ends_at_ms: number }
  | ({ type: 'turn_ended'; turn: string } & TurnEnd)
  | { type: 'agent'; thread: string; event: AgentEvent }
  | { type: 'permission_answered'; thread: string; request: number; answer: PermissionAnswer }
  | { type: 'thread_opened'; thread: string; resumes: boolean }
  | { type: 'thread_over'; thread: string; reason: string };

/** An event of a session's log that is an agent's. */
export interface AgentLogEvent {
  seq: number;
  at_ms: number;
  type: 'agent';
  entry: Entry;
}
