/** The form that registers a model: its values, what it checks, and the request it makes. */
import type { CreateModelRequest, EngineKind, ModelSource } from '../api/types';

export type SourceType = ModelSource['type'];

export interface ModelForm {
  source: SourceType;
  path: string;
  repo: string;
  file: string;
  revision: string;
  ollama: string;
  url: string;
  remoteModel: string;
  name: string;
  description: string;
  engine: EngineKind;
  default: boolean;
  contextTokens: number | '';
  parallel: number | '';
  devices: number | '';
  maxInstances: number | '';
  memoryGib: number | '';
  idleMinutes: number | '';
  readyMinutes: number | '';
  engineArgs: string;
  engineEnv: string;
}

export const EMPTY_FORM: ModelForm = {
  source: 'file',
  path: '',
  repo: '',
  file: '',
  revision: '',
  ollama: '',
  url: '',
  remoteModel: '',
  name: '',
  description: '',
  engine: 'llama_cpp',
  default: false,
  contextTokens: '',
  parallel: 4,
  devices: 1,
  maxInstances: 8,
  memoryGib: '',
  idleMinutes: '',
  readyMinutes: 10,
  engineArgs: '',
  engineEnv: '',
};

/** The engines that can run weights from a source; the first is the usual one. */
export function enginesFor(source: SourceType): EngineKind[] {
  switch (source) {
    case 'file':
      return ['llama_cpp', 'vllm'];
    case 'hugging_face':
      return ['vllm', 'llama_cpp'];
    case 'ollama':
      return ['ollama'];
    case 'external':
      return ['external'];
  }
}

/** A name that would do, from where the weights come from. */
export function suggestName(form: ModelForm): string {
  const last = (path: string) => path.split(/[\\/]/).findLast((part) => part !== '') ?? '';
  const plain = {
    file: last(form.path).replace(/\.gguf$/i, ''),
    hugging_face:
      form.file.trim() === '' ? form.repo.trim() : last(form.file).replace(/\.gguf$/i, ''),
    ollama: form.ollama.trim(),
    external: form.remoteModel.trim(),
  }[form.source];
  return plain.replace(/[^\w.:/-]+/g, '-').slice(0, 200);
}

const NAME = /^[\w.:/-]{1,200}$/;
const ENV_LINE = /^[A-Za-z_]\w*=/;

const required = (value: string, what: string) => (value.trim() === '' ? `Enter ${what}` : null);

/** What is wrong with each field, if anything. */
export function checkForm(form: ModelForm): Partial<Record<keyof ModelForm, string>> {
  const errors: Partial<Record<keyof ModelForm, string | null>> = {
    name: NAME.test(form.name.trim() || suggestName(form))
      ? null
      : 'Letters, digits and . _ - : / only, 1 to 200 of them',
    engineEnv: lines(form.engineEnv).every((line) => ENV_LINE.test(line))
      ? null
      : 'One NAME=value on each line',
    ...sourceErrors(form),
  };
  return Object.fromEntries(Object.entries(errors).filter(([, error]) => error != null));
}

function sourceErrors(form: ModelForm): Partial<Record<keyof ModelForm, string | null>> {
  switch (form.source) {
    case 'file':
      return {
        path: form.path.trim().startsWith('/') ? null : 'Enter an absolute path on the runner',
      };
    case 'hugging_face':
      return {
        repo: /^[^/\s]+\/[^/\s]+$/.test(form.repo.trim()) ? null : 'Enter it as owner/name',
        file:
          form.engine === 'llama_cpp' && form.file.trim() === ''
            ? 'llama.cpp needs one GGUF file of the repository'
            : null,
      };
    case 'ollama':
      return { ollama: required(form.ollama, 'the model’s name in Ollama') };
    case 'external':
      return {
        url: /^https?:\/\/\S+$/.test(form.url.trim()) ? null : 'Enter a URL that begins with http',
      };
  }
}

/** The request for a form that has no errors. */
export function toRequest(form: ModelForm): CreateModelRequest {
  const optional = <K extends string>(key: K, value: number | '' | undefined) =>
    (value === '' || value === undefined ? {} : { [key]: value }) as Partial<Record<K, number>>;
  const scaled = (value: number | '', factor: number) =>
    value === '' ? undefined : Math.round(value * factor);
  return {
    name: form.name.trim() || suggestName(form),
    description: form.description.trim(),
    engine: form.engine,
    source: toSource(form),
    default: form.default,
    settings: {
      parallel: form.parallel || 4,
      devices: form.devices || 1,
      max_instances: form.maxInstances || 8,
      ready_timeout_ms: scaled(form.readyMinutes, 60_000) ?? 600_000,
      ...optional('context_tokens', form.contextTokens),
      ...optional('memory_bytes', scaled(form.memoryGib, 1024 ** 3)),
      ...optional('idle_timeout_ms', scaled(form.idleMinutes, 60_000)),
      engine_args: lines(form.engineArgs),
      engine_env: Object.fromEntries(
        lines(form.engineEnv).map((line) => {
          const equals = line.indexOf('=');
          return [line.slice(0, equals), line.slice(equals + 1)];
        }),
      ),
    },
  };
}

function toSource(form: ModelForm): ModelSource {
  const some = <K extends string>(key: K, value: string) =>
    (value.trim() === '' ? {} : { [key]: value.trim() }) as Partial<Record<K, string>>;
  switch (form.source) {
    case 'file':
      return { type: 'file', path: form.path.trim() };
    case 'hugging_face':
      return {
        type: 'hugging_face',
        repo: form.repo.trim(),
        ...some('revision', form.revision),
        ...some('file', form.file),
      };
    case 'ollama':
      return { type: 'ollama', name: form.ollama.trim() };
    case 'external':
      return { type: 'external', url: form.url.trim(), ...some('model', form.remoteModel) };
  }
}

function lines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}
