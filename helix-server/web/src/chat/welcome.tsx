import { useAui } from '@assistant-ui/react';
import { Alert, Anchor, Box, Text, Title, UnstyledButton } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconInfoCircle } from '@tabler/icons-react';
import { Link } from 'react-router';

import { modelsQuery, statusQuery } from '../api/queries';
import { useIsAdmin, useUser } from '../auth/gates';
import { ErrorState } from '../components/states';
import { COMPOSER_ID } from '../shell/shortcuts';
import { Composer } from './composer';
import { useChoice } from './model-choice';
import classes from './thread.module.css';

const SUGGESTIONS = [
  'What is the capital of France?',
  'Write a Python script that renames photos by date',
  'Explain what a GPU does, in plain words',
];

/** A chat that is not begun yet. */
export function Welcome() {
  const user = useUser();
  const aui = useAui();
  const [firstName] = user.name.split(/\s+/);
  return (
    <div className={classes.welcome}>
      <Title order={2} ta="center" fz={{ base: 24, sm: 30 }} fw={650} mb="xl" lts="-0.02em">
        What can I help with{firstName ? `, ${firstName}` : ''}?
      </Title>
      <Readiness />
      <Composer />
      <div className={classes.suggestions}>
        {SUGGESTIONS.map((suggestion) => (
          <UnstyledButton
            key={suggestion}
            className={classes.suggestion}
            onClick={() => {
              aui.composer.setText(suggestion);
              document.getElementById(COMPOSER_ID)?.focus();
            }}
          >
            {suggestion}
          </UnstyledButton>
        ))}
      </div>
    </div>
  );
}

/** Says what is missing before anything can be answered. */
function Readiness() {
  const admin = useIsAdmin();
  const { choices, loading } = useChoice();
  const status = useQuery(statusQuery);
  const models = useQuery(modelsQuery);
  if (models.isError) {
    return (
      <Box mb="md">
        <ErrorState
          what="The models could not be loaded"
          error={models.error}
          onRetry={() => void models.refetch()}
        />
      </Box>
    );
  }
  if (loading) return null;
  const onlyProviders = choices.every((choice) => choice.state === 'provider');
  if (choices.length === 0) {
    return (
      <Notice title="No model is registered yet">
        {admin ? (
          <>
            <Anchor component={Link} to="/models">
              Register a model
            </Anchor>{' '}
            and Helix starts it on one of your runners when somebody asks.
          </>
        ) : (
          'Ask an administrator to register one.'
        )}
      </Notice>
    );
  }
  if (!status.data || status.data.runners_online > 0 || onlyProviders) return null;
  return (
    <Notice title="No runner is connected">
      {admin ? (
        <>
          Models run on runners.{' '}
          <Anchor component={Link} to="/runners">
            {status.data.runners_total === 0 ? 'Add a runner' : 'See why they are offline'}
          </Anchor>
          : nothing can be answered before one is connected.
        </>
      ) : (
        'Nothing can be answered until one is back. Ask an administrator if this lasts.'
      )}
    </Notice>
  );
}

function Notice({ title, children }: { title: string; children: React.ReactNode }) {
  return (
    <Alert icon={<IconInfoCircle size={18} />} title={title} radius="lg" mb="md">
      <Text size="sm">{children}</Text>
    </Alert>
  );
}
