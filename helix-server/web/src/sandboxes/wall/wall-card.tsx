import { Loader, Text } from '@mantine/core';
import {
  IconAlertTriangle,
  IconPlayerPause,
  IconPlugConnectedX,
  IconTerminal2,
  IconZzz,
  type Icon,
} from '@tabler/icons-react';
import { useEffect, useRef, useState, type RefObject } from 'react';
import { Link } from 'react-router';

import type { Sandbox } from '../../api/types';
import { useUser } from '../../auth/gates';
import { SandboxBadge } from '../../components/status-badge';
import { RelativeTime } from '../../components/time';
import { useCell } from '../../desktop/cell';
import type { Gallery, Thumbnail } from '../../desktop/thumbnails/gallery';
import { hasPicture, lookOf, type Look } from './look';
import classes from './wall.module.css';

/** Pictures this far below what is seen are asked for already. */
const NEAR = '200px';

interface Props {
  sandbox: Sandbox;
  everybody: boolean;
  gallery: Gallery;
}

/** A sandbox, its desktop as it looks now, and the way there. */
export function WallCard({ sandbox, everybody, gallery }: Props) {
  const me = useUser();
  const card = useRef<HTMLLIElement>(null);
  const thumbnail = useThumbnail(sandbox, gallery, card);
  const look = lookOf(sandbox, thumbnail);
  const path = `/sandboxes/${sandbox.id}`;
  return (
    <li ref={card} className={classes.card}>
      <div className={classes.picture} data-stale={look !== null || undefined}>
        {thumbnail.url !== undefined && <img src={thumbnail.url} alt="" draggable={false} />}
        {look && <State look={look} over={thumbnail.url !== undefined} />}
      </div>
      <div className={classes.about}>
        <Link
          to={sandbox.desktop == null ? path : `${path}/desktop`}
          className={classes.name ?? ''}
          title={sandbox.name}
        >
          {sandbox.name}
        </Link>
        <SandboxBadge sandbox={sandbox} />
        <Text size="xs" c="dimmed" truncate className={classes.facts ?? ''}>
          {everybody && (sandbox.user_id === me.id ? 'Yours · ' : `${sandbox.user_id} · `)}
          used <RelativeTime atMs={sandbox.used_at_ms} />
        </Text>
      </div>
    </li>
  );
}

const SIGNS: Record<Exclude<Look['sign'], 'wait'>, Icon> = {
  bad: IconAlertTriangle,
  away: IconPlugConnectedX,
  asleep: IconZzz,
  paused: IconPlayerPause,
  terminal: IconTerminal2,
};

function Sign({ of }: { of: Look['sign'] }) {
  if (of === 'wait') return <Loader size={20} aria-hidden />;
  const IconOf = SIGNS[of];
  return <IconOf size={26} stroke={1.4} aria-hidden />;
}

function State({ look, over }: { look: Look; over: boolean }) {
  return (
    <div className={classes.state} data-over={over || undefined} data-sign={look.sign}>
      <Sign of={look.sign} />
      <span className={classes.stateName}>{look.text}</span>
      {look.why !== undefined && (
        <span className={classes.why} title={look.why}>
          {look.why}
        </span>
      )}
    </div>
  );
}

/** The picture of a sandbox's desktop, kept new while the card is seen. */
function useThumbnail(
  sandbox: Sandbox,
  gallery: Gallery,
  card: RefObject<HTMLLIElement | null>,
): Thumbnail {
  const seen = useIsSeen(card);
  const asks = seen && hasPicture(sandbox);
  useEffect(() => {
    if (!asks) return;
    gallery.see(sandbox.id, true);
    return () => {
      gallery.see(sandbox.id, false);
    };
  }, [gallery, sandbox.id, asks]);
  return useCell(gallery.of(sandbox.id));
}

function useIsSeen(element: RefObject<HTMLElement | null>): boolean {
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    const shown = element.current;
    if (!shown) return;
    const observer = new IntersectionObserver(
      ([entry]) => {
        setSeen(entry?.isIntersecting === true);
      },
      { rootMargin: NEAR },
    );
    observer.observe(shown);
    return () => {
      observer.disconnect();
    };
  }, [element]);
  return seen;
}
