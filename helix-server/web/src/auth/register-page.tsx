import { Anchor, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, useSearchParams } from 'react-router';

import { authConfigQuery } from '../api/queries';
import { ErrorState, LoadingState } from '../components/states';
import { AccountForm } from './account-form';
import { AuthLayout } from './auth-layout';
import { SetUpFirst } from './sign-in-page';

export default function RegisterPage() {
  const config = useQuery(authConfigQuery);
  const [params] = useSearchParams();
  return (
    <AuthLayout title="Create an account">
      {config.isPending && <LoadingState label="Asking whether registration is open" />}
      {config.isError && (
        <ErrorState
          what="The server did not answer"
          error={config.error}
          onRetry={() => void config.refetch()}
        />
      )}
      {config.data?.setup_required && <SetUpFirst />}
      {config.data &&
        !config.data.setup_required &&
        (config.data.registration_open ? (
          <AccountForm action="Create account" />
        ) : (
          <Text size="sm">
            Registration is closed. Ask an administrator of this Helix for an account.
          </Text>
        ))}
      <Text size="sm" mt="lg" ta="center">
        Have an account?{' '}
        <Anchor component={Link} to={{ pathname: '/sign-in', search: params.toString() }}>
          Sign in
        </Anchor>
      </Text>
    </AuthLayout>
  );
}
