import { ActionIcon, Avatar, Box, Button, Group, Menu, Text, UnstyledButton } from '@mantine/core';
import {
  IconBox,
  IconBuildingWarehouse,
  IconKey,
  IconLock,
  IconLogout,
  IconMessagePlus,
  IconRobot,
  IconSelector,
  IconServer2,
  IconSettings,
  IconStack2,
  IconTerminal2,
  IconX,
  type Icon,
} from '@tabler/icons-react';
import { Link, NavLink } from 'react-router';

import { useIsAdmin, useUser } from '../auth/gates';
import { useSignOut } from '../auth/mutations';
import { Logo } from '../components/logo';
import { SessionList } from './session-list';
import classes from './shell.module.css';

interface Destination {
  to: string;
  label: string;
  icon: Icon;
  admin?: boolean;
}

const DESTINATIONS: Destination[] = [
  { to: '/models', label: 'Models', icon: IconBox },
  { to: '/sandboxes', label: 'Sandboxes', icon: IconTerminal2 },
  { to: '/agents', label: 'Agents', icon: IconRobot, admin: true },
  { to: '/runners', label: 'Runners', icon: IconServer2, admin: true },
  { to: '/hosts', label: 'Hosts', icon: IconBuildingWarehouse, admin: true },
  { to: '/queue', label: 'Queue', icon: IconStack2, admin: true },
  { to: '/keys', label: 'API keys', icon: IconKey },
  { to: '/secrets', label: 'Secrets', icon: IconLock },
];

/** Where to go, and what was talked about. */
export function Sidebar({ onClose }: { onClose?: () => void }) {
  const admin = useIsAdmin();
  return (
    <div className={classes.sidebar}>
      <Box className={classes.top}>
        <Group justify="space-between" px={6} mb="md">
          <Link to="/" className={classes.brand} aria-label="Helix, home">
            <Logo />
            <Text fw={680} fz={17}>
              Helix
            </Text>
          </Link>
          {onClose && (
            <ActionIcon aria-label="Close the menu" onClick={onClose}>
              <IconX size={18} />
            </ActionIcon>
          )}
        </Group>
        <Button
          component={Link}
          to="/"
          fullWidth
          leftSection={<IconMessagePlus size={17} />}
          onClick={onClose}
        >
          New chat
        </Button>
        <Button
          component={Link}
          to="/new"
          fullWidth
          mt={6}
          variant="default"
          leftSection={<IconRobot size={17} />}
          onClick={onClose}
        >
          New agent session
        </Button>
      </Box>
      <nav className={classes.nav} aria-label="Pages">
        {DESTINATIONS.filter((each) => admin || !each.admin).map(({ to, label, icon: IconOf }) => (
          <NavLink key={to} to={to} className={classes.navLink ?? ''} onClick={onClose}>
            <IconOf size={17} stroke={1.7} aria-hidden />
            {label}
          </NavLink>
        ))}
      </nav>
      <SessionList />
      <Box className={classes.bottom}>
        <AccountMenu />
      </Box>
    </div>
  );
}

function AccountMenu() {
  const user = useUser();
  const signOut = useSignOut();
  return (
    <Menu position="top-start" width={250}>
      <Menu.Target>
        <UnstyledButton className={classes.account} aria-label={`Account of ${user.name}`}>
          <Avatar name={user.name} size={30} color="brand" aria-hidden />
          <Box flex={1} miw={0}>
            <Text size="sm" fw={550} truncate>
              {user.name}
            </Text>
            <Text size="xs" c="dimmed" truncate>
              {user.role === 'admin' ? 'Administrator' : user.email}
            </Text>
          </Box>
          <IconSelector size={16} aria-hidden />
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{user.email}</Menu.Label>
        <Menu.Item component={Link} to="/settings" leftSection={<IconSettings size={16} />}>
          Settings
        </Menu.Item>
        <Menu.Divider />
        <Menu.Item
          leftSection={<IconLogout size={16} />}
          onClick={() => {
            signOut.mutate();
          }}
        >
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
