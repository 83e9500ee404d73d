import { NumberInput, SimpleGrid, Stack, Textarea } from '@mantine/core';

import type { Form } from './register-model';

/** How a model runs. What is left empty is chosen by the server. */
export function AdvancedSettings({ form }: { form: Form }) {
  const whole = { allowDecimal: false, clampBehavior: 'blur', hideControls: true } as const;
  return (
    <Stack>
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <NumberInput
          label="Context"
          description="Tokens for one request"
          placeholder="the model’s own"
          min={128}
          max={16_777_216}
          {...whole}
          {...form.getInputProps('contextTokens')}
        />
        <NumberInput
          label="Requests at once"
          description="By one instance"
          min={1}
          max={1_024}
          {...whole}
          {...form.getInputProps('parallel')}
        />
        <NumberInput
          label="Devices"
          description="One instance is spread over"
          min={1}
          max={64}
          {...whole}
          {...form.getInputProps('devices')}
        />
        <NumberInput
          label="Instances at most"
          description="Over all runners"
          min={1}
          max={1_024}
          {...whole}
          {...form.getInputProps('maxInstances')}
        />
        <NumberInput
          label="Memory (GiB)"
          description="On each device, until measured"
          placeholder="estimated"
          min={0}
          decimalScale={2}
          hideControls
          {...form.getInputProps('memoryGib')}
        />
        <NumberInput
          label="Stop when idle (minutes)"
          description="Else when room is needed"
          placeholder="never"
          min={1}
          {...whole}
          {...form.getInputProps('idleMinutes')}
        />
        <NumberInput
          label="Start within (minutes)"
          description="The download aside"
          min={1}
          {...whole}
          {...form.getInputProps('readyMinutes')}
        />
      </SimpleGrid>
      <Textarea
        label="More arguments for the engine"
        description="One on each line"
        placeholder="--flash-attn"
        minRows={2}
        maxRows={6}
        ff="monospace"
        {...form.getInputProps('engineArgs')}
      />
      <Textarea
        label="More environment for the engine"
        description="One NAME=value on each line"
        placeholder="NAME=value"
        minRows={2}
        maxRows={6}
        ff="monospace"
        {...form.getInputProps('engineEnv')}
      />
    </Stack>
  );
}
