/** The form that changes an agent of the catalogue. */
import type { CatalogueAgentDetails, ModelApi, PutAgentRequest } from '../../api/types';

export interface AgentForm {
  name: string;
  title: string;
  description: string;
  modelApi: ModelApi;
  enabled: boolean;
  /** Program and arguments, one on each line. */
  command: string;
  /** Lines of a shell. */
  install: string;
  /** `NAME=value`, one on each line. */
  environment: string;
}

export const MODEL_APIS: { value: ModelApi; label: string }[] = [
  { value: 'chat_completions', label: 'Chat completions (OpenAI)' },
  { value: 'responses', label: 'Responses (OpenAI)' },
  { value: 'messages', label: 'Messages (Anthropic)' },
  { value: 'none', label: 'None: it has models of its own' },
];

export const EMPTY_AGENT: AgentForm = {
  name: '',
  title: '',
  description: '',
  modelApi: 'chat_completions',
  enabled: true,
  command: '',
  install: '',
  environment: '',
};

const MOST_LINES = 64;
const MOST_BYTES = 4_096;
const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;

export function toForm(agent: CatalogueAgentDetails): AgentForm {
  return {
    name: agent.name,
    title: agent.title,
    description: agent.description,
    modelApi: agent.model_api,
    enabled: agent.enabled,
    command: agent.command.join('\n'),
    install: (agent.install ?? []).join('\n'),
    environment: (agent.environment ?? []).map(({ name, value }) => `${name}=${value}`).join('\n'),
  };
}

/** Lines that say something. Spaces within an argument stay. */
const lines = (text: string): string[] => text.split('\n').filter((line) => line.trim() !== '');

const tooLong = (line: string) => new TextEncoder().encode(line).length > MOST_BYTES;

function checkLines(text: string): string | null {
  const all = lines(text);
  if (all.length > MOST_LINES) return `At most ${MOST_LINES} lines`;
  return all.some(tooLong) ? 'A line is too long' : null;
}

type Errors = Partial<Record<keyof AgentForm, string>>;

/** What is wrong with each field, if anything. */
export function checkAgent(form: AgentForm): Errors {
  const title = form.title.trim().length;
  const errors: Partial<Record<keyof AgentForm, string | null>> = {
    name: NAME.test(form.name) ? null : 'Small letters, digits, - and _, at most 64',
    title: title >= 1 && title <= 100 ? null : '1 to 100 characters',
    description: form.description.length > 1_000 ? 'At most 1,000 characters' : null,
    command: lines(form.command).length === 0 ? 'Enter a program' : checkLines(form.command),
    install: checkLines(form.install),
    environment: lines(form.environment).every((line) => /^[A-Za-z_]\w*=/.test(line))
      ? checkLines(form.environment)
      : 'One NAME=value on each line',
  };
  return Object.fromEntries(Object.entries(errors).filter(([, error]) => error != null));
}

/** The request for a form that has no errors. */
export function toPut(form: AgentForm): PutAgentRequest {
  return {
    title: form.title.trim(),
    description: form.description.trim(),
    model_api: form.modelApi,
    enabled: form.enabled,
    command: lines(form.command),
    install: lines(form.install),
    environment: lines(form.environment).map((line) => {
      const equals = line.indexOf('=');
      return { name: line.slice(0, equals), value: line.slice(equals + 1) };
    }),
  };
}
