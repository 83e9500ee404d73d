import '@fontsource-variable/inter/wght.css';
import '@fontsource-variable/jetbrains-mono/wght.css';
import '@mantine/core/styles.css';
import '@mantine/notifications/styles.css';
import './global.css';

import { localStorageColorSchemeManager, MantineProvider } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import { QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { RouterProvider } from 'react-router';

import { meQuery } from './api/queries';
import { createQueryClient } from './api/query-client';
import { router } from './app';
import { theme } from './theme';

const colorSchemes = localStorageColorSchemeManager({ key: 'helix-color-scheme' });
const root = document.getElementById('root');
if (!root) throw new Error('index.html has no #root');

const queries = createQueryClient();
// While the page's own files are loaded; what fails is told by who needs it.
queries.query(meQuery).catch(() => undefined);

createRoot(root).render(
  <StrictMode>
    <MantineProvider
      theme={theme}
      defaultColorScheme="auto"
      colorSchemeManager={colorSchemes}
      deduplicateCssVariables
    >
      <QueryClientProvider client={queries}>
        <RouterProvider router={router} />
      </QueryClientProvider>
      <Notifications position="top-right" />
    </MantineProvider>
  </StrictMode>,
);
