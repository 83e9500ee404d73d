import { lazy, Suspense } from 'react';

import type { Sandbox } from '../../api/types';
import { LoadingState } from '../../components/states';
import { NotRunning } from '../../sandboxes/sandbox-notice';

const Desktop = lazy(() => import('./desktop'));

/** The desktop of a sandbox, live. */
export default function DesktopTab({ sandbox }: { sandbox: Sandbox }) {
  // A picture stays on the screen while its host is away for a moment.
  if (sandbox.state !== 'running') {
    return <NotRunning sandbox={sandbox} what="Its desktop can be used" />;
  }
  return (
    <Suspense fallback={<LoadingState label="Loading the desktop" />}>
      <Desktop key={sandbox.id} sandbox={sandbox} />
    </Suspense>
  );
}
