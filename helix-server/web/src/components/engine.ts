import type { EngineKind, ModelSource } from '../api/types';

export const ENGINE_NAMES: Record<EngineKind, string> = {
  llama_cpp: 'llama.cpp',
  vllm: 'vLLM',
  ollama: 'Ollama',
  external: 'External server',
};

/** Where weights come from, in one line. */
export function describeSource(source: ModelSource): string {
  switch (source.type) {
    case 'file':
      return source.path;
    case 'hugging_face': {
      const file = source.file == null ? '' : `/${source.file}`;
      const revision = source.revision == null ? '' : ` @ ${source.revision}`;
      return `${source.repo}${file}${revision}`;
    }
    case 'ollama':
      return source.name;
    case 'external':
      return source.url;
  }
}

export const SOURCE_NAMES: Record<ModelSource['type'], string> = {
  file: 'File',
  hugging_face: 'Hugging Face',
  ollama: 'Ollama',
  external: 'External',
};
