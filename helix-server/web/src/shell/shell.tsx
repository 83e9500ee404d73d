import { AppShell, Burger, Drawer, Group, Text } from '@mantine/core';
import { useDisclosure, useMediaQuery } from '@mantine/hooks';
import { useEffect } from 'react';
import { Link, Outlet, useLocation } from 'react-router';

import { Logo } from '../components/logo';
import { LiveProvider } from '../live/live-provider';
import { ConnectionNotice } from './connection-notice';
import { Shortcuts } from './shortcuts';
import { Sidebar } from './sidebar';
import classes from './shell.module.css';

/** The frame around every page of a signed-in user. */
export default function Shell() {
  const [opened, { toggle, close }] = useDisclosure(false);
  const narrow = useMediaQuery('(max-width: 52em)', false, { getInitialValueInEffect: false });
  const { pathname } = useLocation();
  useEffect(close, [pathname, close]);

  return (
    <LiveProvider>
      <a className="skip-link" href="#content">
        Skip to content
      </a>
      <Shortcuts />
      <AppShell
        layout="alt"
        padding={0}
        header={{ height: 54, collapsed: !narrow, offset: narrow }}
        navbar={{ width: 276, breakpoint: '52em', collapsed: { mobile: true } }}
      >
        {narrow && (
          <AppShell.Header className={classes.header}>
            <Group h="100%" px="sm" gap="sm">
              <Burger opened={opened} onClick={toggle} size="sm" aria-label="Open the menu" />
              <Link to="/" className={classes.brand}>
                <Logo size={24} />
                <Text fw={680}>Helix</Text>
              </Link>
            </Group>
          </AppShell.Header>
        )}
        {!narrow && (
          <AppShell.Navbar className={classes.navbar} aria-label="Main">
            <Sidebar />
          </AppShell.Navbar>
        )}
        {narrow && (
          <Drawer
            opened={opened}
            onClose={close}
            size={300}
            padding={0}
            withCloseButton={false}
            aria-label="Menu"
            classNames={{ content: classes.drawer, body: classes.drawerBody }}
          >
            <Sidebar onClose={close} />
          </Drawer>
        )}
        <AppShell.Main className={classes.main}>
          <ConnectionNotice />
          <div id="content" tabIndex={-1} className={classes.content}>
            <Outlet />
          </div>
        </AppShell.Main>
      </AppShell>
    </LiveProvider>
  );
}
