import {
  Accordion,
  Button,
  Group,
  Modal,
  SegmentedControl,
  Select,
  Stack,
  Switch,
  Text,
  Textarea,
  TextInput,
} from '@mantine/core';
import { useForm, type UseFormReturnType } from '@mantine/form';
import { useMutation, useQueryClient } from '@tanstack/react-query';

import { call, http } from '../api/client';
import { ApiFailure } from '../api/failure';
import { keys } from '../api/queries';
import { ENGINE_NAMES, SOURCE_NAMES } from '../components/engine';
import { FormError } from '../components/states';
import { AdvancedSettings } from './advanced-settings';
import {
  checkForm,
  EMPTY_FORM,
  enginesFor,
  suggestName,
  toRequest,
  type ModelForm,
  type SourceType,
} from './model-form';

export type Form = UseFormReturnType<ModelForm>;

const SOURCES = Object.entries(SOURCE_NAMES).map(([value, label]) => ({ value, label }));

export function RegisterModel({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const client = useQueryClient();
  const form = useForm<ModelForm>({ initialValues: EMPTY_FORM, validate: checkForm });
  const register = useMutation({
    mutationFn: (values: ModelForm) =>
      call(http.POST('/api/v1/models', { body: toRequest(values) })),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.models });
      close();
    },
    onError: (error) => {
      if (error instanceof ApiFailure && error.field === 'name') {
        form.setFieldError('name', error.message);
      }
    },
  });
  const close = () => {
    onClose();
    register.reset();
    form.reset();
  };

  return (
    <Modal opened={opened} onClose={close} title="Register a model" size="lg">
      <form
        onSubmit={form.onSubmit((values) => {
          register.mutate(values);
        })}
      >
        <Stack>
          <div>
            <Text size="sm" fw={500} mb={4} id="source-label">
              Where the weights come from
            </Text>
            <SegmentedControl
              fullWidth
              aria-labelledby="source-label"
              data={SOURCES}
              value={form.values.source}
              onChange={(value) => {
                const source = value as SourceType;
                form.setValues({ source, engine: enginesFor(source)[0] ?? 'llama_cpp' });
                form.clearErrors();
              }}
            />
          </div>
          <SourceFields form={form} />
          <EngineField form={form} />
          <TextInput
            label="Name"
            description="What people choose, and what programs send as “model”"
            placeholder={suggestName(form.values) || 'my-model'}
            {...form.getInputProps('name')}
          />
          <Textarea
            label="Description"
            placeholder="What it is good at"
            maxLength={1_000}
            minRows={1}
            maxRows={4}
            {...form.getInputProps('description')}
          />
          <Switch
            label="Default model"
            description="Chosen first in new chats, and asked when a program names “default”"
            {...form.getInputProps('default', { type: 'checkbox' })}
          />
          <Accordion variant="contained" chevronPosition="left">
            <Accordion.Item value="advanced">
              <Accordion.Control>
                <Text size="sm" fw={500}>
                  How it runs
                </Text>
              </Accordion.Control>
              <Accordion.Panel>
                <AdvancedSettings form={form} />
              </Accordion.Panel>
            </Accordion.Item>
          </Accordion>
          <FormError error={register.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={close}>
              Cancel
            </Button>
            <Button type="submit" loading={register.isPending}>
              Register
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function SourceFields({ form }: { form: Form }) {
  switch (form.values.source) {
    case 'file':
      return (
        <TextInput
          label="Path"
          description="A GGUF file, or a folder of safetensors, on the disk of each runner that is to run it"
          placeholder="/models/qwen3-8b-q4.gguf"
          required
          data-autofocus
          {...form.getInputProps('path')}
        />
      );
    case 'hugging_face':
      return (
        <>
          <TextInput
            label="Repository"
            placeholder="Qwen/Qwen3-8B"
            required
            {...form.getInputProps('repo')}
          />
          <Group grow align="flex-start">
            <TextInput
              label="File"
              placeholder="model-q4_k_m.gguf"
              required={form.values.engine === 'llama_cpp'}
              {...form.getInputProps('file')}
            />
            <TextInput label="Revision" placeholder="main" {...form.getInputProps('revision')} />
          </Group>
        </>
      );
    case 'ollama':
      return (
        <TextInput
          label="Model in Ollama"
          placeholder="llama3.2:3b"
          required
          {...form.getInputProps('ollama')}
        />
      );
    case 'external':
      return (
        <>
          <TextInput
            label="URL"
            description="An OpenAI-compatible server as the runner reaches it, without /v1"
            placeholder="http://127.0.0.1:8000"
            required
            {...form.getInputProps('url')}
          />
          <TextInput
            label="Model’s name there"
            description="The name below, if left empty"
            {...form.getInputProps('remoteModel')}
          />
        </>
      );
  }
}

function EngineField({ form }: { form: Form }) {
  const engines = enginesFor(form.values.source);
  if (engines.length < 2) return null;
  return (
    <Select
      label="Engine"
      description="llama.cpp runs GGUF files, vLLM runs safetensors"
      data={engines.map((value) => ({ value, label: ENGINE_NAMES[value] }))}
      {...form.getInputProps('engine')}
    />
  );
}
