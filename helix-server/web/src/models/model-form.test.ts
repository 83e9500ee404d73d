import { describe, expect, it } from 'vitest';

import { checkForm, EMPTY_FORM, suggestName, toRequest, type ModelForm } from './model-form';

const form = (more: Partial<ModelForm>): ModelForm => ({ ...EMPTY_FORM, ...more });

describe('registering a model', () => {
  it('suggests a name from where the weights come from', () => {
    expect(suggestName(form({ path: '/models/Tiny Chat.gguf' }))).toBe('Tiny-Chat');
    expect(suggestName(form({ source: 'hugging_face', repo: 'Qwen/Qwen3-8B' }))).toBe(
      'Qwen/Qwen3-8B',
    );
    expect(
      suggestName(form({ source: 'hugging_face', repo: 'a/b', file: 'q4/Qwen3-8B-Q4.gguf' })),
    ).toBe('Qwen3-8B-Q4');
    expect(suggestName(form({ source: 'ollama', ollama: 'llama3.2:3b' }))).toBe('llama3.2:3b');
  });

  it('sends the suggested name when none was entered', () => {
    expect(toRequest(form({ path: '/m/tiny.gguf' })).name).toBe('tiny');
  });

  it('leaves out what was not entered, and turns units into bytes and milliseconds', () => {
    const request = toRequest(
      form({ path: '/m/tiny.gguf', memoryGib: 1.5, idleMinutes: 5, engineEnv: 'A=b=c\n\nD=' }),
    );
    expect(request.source).toEqual({ type: 'file', path: '/m/tiny.gguf' });
    expect(request.settings).toEqual({
      parallel: 4,
      devices: 1,
      max_instances: 8,
      ready_timeout_ms: 600_000,
      memory_bytes: 1_610_612_736,
      idle_timeout_ms: 300_000,
      engine_args: [],
      engine_env: { A: 'b=c', D: '' },
    });
  });

  it.each<[Partial<ModelForm>, keyof ModelForm]>([
    [{ path: 'tiny.gguf' }, 'path'],
    [{ source: 'hugging_face', repo: 'no-owner' }, 'repo'],
    [{ source: 'hugging_face', repo: 'a/b', engine: 'llama_cpp' }, 'file'],
    [{ source: 'ollama' }, 'ollama'],
    [{ source: 'external', url: 'ftp://x', name: 'x' }, 'url'],
    [{ path: '/m/x.gguf', name: 'with space' }, 'name'],
    [{ path: '/m/x.gguf', engineEnv: 'no equals' }, 'engineEnv'],
  ])('says what is wrong with %o', (values, field) => {
    expect(Object.keys(checkForm(form(values)))).toContain(field);
  });

  it('finds nothing wrong with a complete form', () => {
    expect(checkForm(form({ path: '/m/x.gguf' }))).toEqual({});
  });
});
