import { Alert, Anchor, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, useSearchParams } from 'react-router';

import { authConfigQuery } from '../api/queries';
import { ErrorState, LoadingState } from '../components/states';
import { AccountForm } from './account-form';
import { AuthLayout } from './auth-layout';
import { SetUpFirst } from './sign-in-page';

/** The page of the one-time set-up link: makes the first administrator. */
export default function SetupPage() {
  const config = useQuery(authConfigQuery);
  const [params] = useSearchParams();
  const token = params.get('token');

  if (config.isPending) {
    return (
      <AuthLayout title="Set up Helix">
        <LoadingState label="Asking the server" />
      </AuthLayout>
    );
  }
  if (config.isError) {
    return (
      <AuthLayout title="Set up Helix">
        <ErrorState
          what="The server did not answer"
          error={config.error}
          onRetry={() => void config.refetch()}
        />
      </AuthLayout>
    );
  }
  if (!config.data.setup_required) {
    return (
      <AuthLayout title="Helix is set up">
        <Alert>The first administrator has an account; the set-up link has done its work.</Alert>
        <Text size="sm" mt="lg" ta="center">
          <Anchor component={Link} to="/sign-in">
            Sign in
          </Anchor>
        </Text>
      </AuthLayout>
    );
  }
  return (
    <AuthLayout
      title="Welcome to Helix"
      lead="Create the first account. It administers this Helix: its runners, models and people."
    >
      {token ? <AccountForm action="Create administrator" setupToken={token} /> : <SetUpFirst />}
    </AuthLayout>
  );
}
