import { ActionIcon, Alert, Button, Loader } from '@mantine/core';
import { IconAlertTriangle, IconDeviceDesktop, IconX } from '@tabler/icons-react';
import { useState } from 'react';

import { useNow } from '../../components/time';
import { useCell } from '../cell';
import { noticesOf, type Notice } from '../notices';
import type { Viewer } from '../viewer';
import classes from './desktop.module.css';

/** What must be known, over the picture; before the first picture, in its place. */
export function Notices({ viewer }: { viewer: Viewer }) {
  const now = useNow();
  const pictured = useCell(viewer.size) !== null;
  const [looksOn, setLooksOn] = useState(false);
  const notices = noticesOf(
    {
      connection: useCell(viewer.connection),
      notice: useCell(viewer.notice),
      trouble: useCell(viewer.trouble),
      controls: useCell(viewer.controls),
      looksOn: useCell(viewer.looksOn),
      present: useCell(viewer.present),
      pictured,
    },
    now,
  );
  if (!pictured) return <InPlace viewer={viewer} notice={notices[0]} />;
  return (
    <div className={classes.notices} role="status">
      {notices
        .filter(({ key }) => key !== 'controls' || !looksOn)
        .map((notice) => (
          <Alert key={notice.key} color="gray" py={6} px="sm" className={classes.notice}>
            {notice.tone === 'bad' && (
              <IconAlertTriangle
                size={16}
                color="var(--mantine-color-error)"
                aria-label="Failed:"
              />
            )}
            {notice.tone === 'wait' && <Loader size={14} color="orange" aria-hidden />}
            <span>{notice.text}</span>
            <Action viewer={viewer} notice={notice} />
            {notice.dismissable && (
              <ActionIcon
                size="sm"
                aria-label="Put the notice away"
                onClick={() => {
                  if (notice.key === 'controls') setLooksOn(true);
                  else dismiss(viewer, notice);
                }}
              >
                <IconX size={14} />
              </ActionIcon>
            )}
          </Alert>
        ))}
    </div>
  );
}

/** There is no picture yet, and why. */
function InPlace({ viewer, notice }: { viewer: Viewer; notice: Notice | undefined }) {
  const waits = notice === undefined || notice.tone === 'wait';
  return (
    <div className={classes.inPlace} role="status">
      <IconDeviceDesktop size={40} stroke={1.3} aria-hidden />
      <p>{notice?.text ?? 'Waiting for the first picture…'}</p>
      {waits && !notice?.action && <Loader size="xs" aria-hidden />}
      {notice && <Action viewer={viewer} notice={notice} />}
    </div>
  );
}

function Action({ viewer, notice }: { viewer: Viewer; notice: Notice }) {
  const { action } = notice;
  if (!action) return null;
  return (
    <Button
      size="compact-xs"
      variant="default"
      onClick={() => {
        if (action.does === 'wake') viewer.wake();
        else if (action.does === 'takePart') viewer.lookOn(false);
        else viewer.say({ kind: 'takeOver' });
      }}
    >
      {action.label}
    </Button>
  );
}

function dismiss(viewer: Viewer, { key }: Notice): void {
  if (key === 'desktop') viewer.notice.set(null);
  if (key === 'trouble') viewer.trouble.set(null);
}
