import { lazy, Suspense } from 'react';
import { createBrowserRouter, Navigate, Outlet } from 'react-router';

import { RequireAdmin, RequireStranger, RequireUser } from './auth/gates';
import { Failed, NotFound } from './pages/not-found';
import { LoadingState } from './components/states';

const Shell = lazy(() => import('./shell/shell'));
const SessionPage = lazy(() => import('./sessions/session-page'));
const ChatPage = lazy(() => import('./chat/chat-page'));
const NewSessionPage = lazy(() => import('./agents/start/new-session-page'));
const AgentsPage = lazy(() => import('./agents/catalogue/agents-page'));
const SignInPage = lazy(() => import('./auth/sign-in-page'));
const SetupPage = lazy(() => import('./auth/setup-page'));
const LinkPage = lazy(() => import('./auth/link-page'));
const RegisterPage = lazy(() => import('./auth/register-page'));
const ModelsPage = lazy(() => import('./models/models-page'));
const RunnersPage = lazy(() => import('./runners/runners-page'));
const RunnerPage = lazy(() => import('./runners/runner-page'));
const SandboxesPage = lazy(() => import('./sandboxes/sandboxes-page'));
const SandboxPage = lazy(() => import('./sandboxes/sandbox-page'));
const OpenPortPage = lazy(() => import('./sandboxes/open-port-page'));
const HostsPage = lazy(() => import('./hosts/hosts-page'));
const HostPage = lazy(() => import('./hosts/host-page'));
const QueuePage = lazy(() => import('./queue/queue-page'));
const ApiKeysPage = lazy(() => import('./api-keys/api-keys-page'));
const SettingsPage = lazy(() => import('./settings/settings-page'));

function Root() {
  return (
    <Suspense fallback={<LoadingState label="Loading Helix" />}>
      <Outlet />
    </Suspense>
  );
}

export const router = createBrowserRouter([
  {
    element: <Root />,
    errorElement: <Failed />,
    children: [
      {
        element: <RequireStranger />,
        children: [
          { path: '/link', element: <LinkPage /> },
          { path: '/sign-in', element: <SignInPage /> },
          { path: '/register', element: <RegisterPage /> },
          { path: '/setup', element: <SetupPage /> },
        ],
      },
      {
        element: <RequireUser />,
        children: [
          { path: '/sandboxes/:sandboxId/ports/:port/open', element: <OpenPortPage /> },
          {
            element: <Shell />,
            errorElement: <Failed />,
            children: [
              { path: '/', element: <ChatPage /> },
              { path: '/s/:sessionId/:tab?', element: <SessionPage /> },
              { path: '/new', element: <NewSessionPage /> },
              { path: '/models', element: <ModelsPage /> },
              { path: '/sandboxes', element: <SandboxesPage /> },
              { path: '/sandboxes/:sandboxId/:tab?', element: <SandboxPage /> },
              { path: '/keys', element: <ApiKeysPage /> },
              { path: '/settings', element: <SettingsPage /> },
              {
                element: <RequireAdmin />,
                children: [
                  { path: '/runners', element: <RunnersPage /> },
                  { path: '/runners/:runnerId', element: <RunnerPage /> },
                  { path: '/hosts', element: <HostsPage /> },
                  { path: '/hosts/:hostId', element: <HostPage /> },
                  { path: '/queue', element: <QueuePage /> },
                  { path: '/agents', element: <AgentsPage /> },
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
