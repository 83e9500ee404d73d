import type { ComponentType } from 'react';
import { createBrowserRouter, Navigate } from 'react-router';

import { RequireAdmin, RequireStranger, RequireUser } from './auth/gates';
import { Failed, NotFound } from './pages/not-found';
import { LoadingState } from './components/states';

/**
 * A route in a file of its own. All files of an address are loaded at the same time, before
 * anything of it is shown.
 */
const page = (load: () => Promise<{ default: ComponentType }>) => async () => ({
  Component: (await load()).default,
});

export const router = createBrowserRouter([
  {
    hydrateFallbackElement: <LoadingState label="Loading Helix" />,
    errorElement: <Failed />,
    children: [
      {
        element: <RequireStranger />,
        children: [
          { path: '/link', lazy: page(() => import('./auth/link-page')) },
          { path: '/sign-in', lazy: page(() => import('./auth/sign-in-page')) },
          { path: '/register', lazy: page(() => import('./auth/register-page')) },
          { path: '/setup', lazy: page(() => import('./auth/setup-page')) },
        ],
      },
      {
        element: <RequireUser />,
        children: [
          {
            path: '/sandboxes/:sandboxId/ports/:port/open',
            lazy: page(() => import('./sandboxes/open-port-page')),
          },
          {
            lazy: page(() => import('./shell/shell')),
            errorElement: <Failed />,
            children: [
              { path: '/', lazy: page(() => import('./chat/chat-page')) },
              {
                path: '/s/:sessionId/:tab?',
                lazy: page(() => import('./sessions/session-page')),
              },
              { path: '/shared/:token', lazy: page(() => import('./sessions/take-page')) },
              { path: '/new', lazy: page(() => import('./agents/start/new-session-page')) },
              { path: '/models', lazy: page(() => import('./models/models-page')) },
              { path: '/sandboxes', lazy: page(() => import('./sandboxes/sandboxes-page')) },
              {
                path: '/sandboxes/:sandboxId/:tab?',
                lazy: page(() => import('./sandboxes/sandbox-page')),
              },
              { path: '/keys', lazy: page(() => import('./api-keys/api-keys-page')) },
              { path: '/secrets', lazy: page(() => import('./secrets/secrets-page')) },
              { path: '/settings', lazy: page(() => import('./settings/settings-page')) },
              {
                element: <RequireAdmin />,
                children: [
                  { path: '/runners', lazy: page(() => import('./runners/runners-page')) },
                  { path: '/runners/:runnerId', lazy: page(() => import('./runners/runner-page')) },
                  { path: '/hosts', lazy: page(() => import('./hosts/hosts-page')) },
                  { path: '/hosts/:hostId', lazy: page(() => import('./hosts/host-page')) },
                  { path: '/queue', lazy: page(() => import('./queue/queue-page')) },
                  { path: '/agents', lazy: page(() => import('./agents/catalogue/agents-page')) },
                ],
              },
              { path: '*', element: <NotFound /> },
            ],
          },
        ],
      },
      { path: '*', element: <Navigate to="/" replace /> },
    ],
  },
]);
