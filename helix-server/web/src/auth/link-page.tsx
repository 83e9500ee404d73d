import { Alert, Anchor, Text } from '@mantine/core';
import { useEffect, useRef } from 'react';
import { Link, useSearchParams } from 'react-router';

import { ErrorState, LoadingState } from '../components/states';
import { AuthLayout } from './auth-layout';
import { useRedeemLink } from './mutations';

/** The page of a one-time sign-in link: signs in at once. */
export default function LinkPage() {
  const [params] = useSearchParams();
  const token = params.get('token');
  const { mutate, error } = useRedeemLink();
  // A link works once, and effects may run twice.
  const used = useRef(false);
  useEffect(() => {
    if (!token || used.current) return;
    used.current = true;
    mutate(token);
  }, [token, mutate]);

  return (
    <AuthLayout title={error ? 'This link does not work' : 'Signing you in'}>
      {!token && <Alert color="red">The link is not complete. Copy all of it.</Alert>}
      {token && !error && <LoadingState label="Signing you in" />}
      {error && <ErrorState what="You were not signed in" error={error} />}
      {(error ?? !token) && (
        <Text size="sm" mt="lg" ta="center">
          A link works once and for a short time.{' '}
          <Anchor component={Link} to="/sign-in">
            Sign in with your password
          </Anchor>
        </Text>
      )}
    </AuthLayout>
  );
}
