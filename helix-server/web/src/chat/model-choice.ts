import { useQuery } from '@tanstack/react-query';
import { createContext, use, useState } from 'react';

import { modelsQuery, providersQuery } from '../api/queries';
import type { Model, Provider, Session } from '../api/types';

const LAST_MODEL = 'helix-last-model';

/** Something that can answer. */
export interface Choice {
  name: string;
  detail: string;
  /** How soon it can answer. */
  state: 'ready' | 'starting' | 'idle' | 'provider';
}

export interface ModelChoice {
  /** What is asked next; undefined while nothing is registered. */
  model: string | undefined;
  choices: Choice[];
  loading: boolean;
  choose: (name: string) => void;
}

/** Everything that can answer: registered models, then what providers offer. */
export function choicesOf(models: readonly Model[], providers: readonly Provider[]): Choice[] {
  return [
    ...models.map((model) => ({
      name: model.name,
      detail: model.description,
      state: stateOf(model),
    })),
    ...providers.flatMap((provider) =>
      provider.models.map((name) => ({
        name: `${provider.name}/${name}`,
        detail: `By ${provider.name}`,
        state: 'provider' as const,
      })),
    ),
  ];
}

function stateOf(model: Model): Choice['state'] {
  if (model.ready_instances > 0) return 'ready';
  return model.starting_instances > 0 ? 'starting' : 'idle';
}

/** The model of the session, else the one chosen last, else the default one. */
export function useModelChoice(session: Session | undefined): ModelChoice {
  const models = useQuery(modelsQuery);
  const providers = useQuery(providersQuery);
  const [chosen, setChosen] = useState<string>();
  const choices = choicesOf(models.data ?? [], providers.data ?? []);
  const offered = (name: string | null | undefined) =>
    choices.find((choice) => choice.name === name)?.name;
  const fallback = models.data?.find((model) => model.default)?.name ?? choices[0]?.name;
  return {
    model: chosen ?? session?.model ?? offered(remembered()) ?? fallback,
    choices,
    loading: models.isPending || providers.isPending,
    choose: (name) => {
      setChosen(name);
      remember(name);
    },
  };
}

function remembered(): string | null {
  try {
    return localStorage.getItem(LAST_MODEL);
  } catch {
    return null;
  }
}

function remember(name: string): void {
  try {
    localStorage.setItem(LAST_MODEL, name);
  } catch {
    // Storage is switched off: the choice lasts as long as the page.
  }
}

export const ModelChoiceContext = createContext<ModelChoice | null>(null);

export function useChoice(): ModelChoice {
  const choice = use(ModelChoiceContext);
  if (!choice) throw new Error('useChoice needs a ModelChoiceContext around it');
  return choice;
}
