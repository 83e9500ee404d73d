import { Button, Card, Code, Stack, Text, Title } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { IconBox, IconPlus } from '@tabler/icons-react';

import { modelsQuery, providersQuery } from '../api/queries';
import type { Provider } from '../api/types';
import { useIsAdmin } from '../auth/gates';
import { Page } from '../components/page';
import { EmptyState, ErrorState, LoadingState } from '../components/states';
import { ModelCard } from './model-card';
import { RegisterModel } from './register-model';

export default function ModelsPage() {
  const admin = useIsAdmin();
  const models = useQuery(modelsQuery);
  const providers = useQuery(providersQuery);
  const [registering, { open, close }] = useDisclosure(false);
  const register = admin && (
    <Button leftSection={<IconPlus size={16} />} onClick={open}>
      Register a model
    </Button>
  );
  return (
    <Page
      title="Models"
      description="What can be asked, here and through the OpenAI-compatible API. A model starts when somebody asks for it, and makes room when others need it."
      actions={register}
    >
      {models.isPending && <LoadingState label="Loading the models" />}
      {models.isError && (
        <ErrorState
          what="The models could not be loaded"
          error={models.error}
          onRetry={() => void models.refetch()}
        />
      )}
      {models.data?.length === 0 && (
        <Card>
          <EmptyState icon={IconBox} title="No model yet" action={register}>
            {admin
              ? 'Register one from a file on a runner, from Hugging Face, from Ollama, or a server that already runs.'
              : 'Ask an administrator to register one.'}
          </EmptyState>
        </Card>
      )}
      {models.data && (
        <Stack>
          {models.data.map((model) => (
            <ModelCard key={model.id} model={model} />
          ))}
        </Stack>
      )}
      {providers.data && providers.data.length > 0 && <Providers providers={providers.data} />}
      <RegisterModel opened={registering} onClose={close} />
    </Page>
  );
}

function Providers({ providers }: { providers: Provider[] }) {
  return (
    <section aria-labelledby="providers" style={{ marginTop: 36 }}>
      <Title order={2} id="providers" mb={4}>
        Providers
      </Title>
      <Text size="sm" c="dimmed" mb="sm">
        Services outside that this server may ask. They are set in its configuration.
      </Text>
      <Stack>
        {providers.map((provider) => (
          <Card key={provider.name} component="article" aria-label={`Provider ${provider.name}`}>
            <Title order={3}>{provider.name}</Title>
            <Text size="xs" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
              {provider.base_url}
            </Text>
            <Text size="sm" mt="sm">
              {provider.models.length === 0 ? (
                <>
                  Any of its models, as <Code>{provider.name}/…</Code>
                </>
              ) : (
                provider.models.map((model) => `${provider.name}/${model}`).join(', ')
              )}
            </Text>
          </Card>
        ))}
      </Stack>
    </section>
  );
}
