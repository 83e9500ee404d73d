import { ActionIcon, Tooltip } from '@mantine/core';
import { IconChevronDown } from '@tabler/icons-react';
import { useCallback, useEffect, useRef } from 'react';

import type { Attached } from '../attached';
import type { View } from '../input/fit';
import classes from './desktop.module.css';
import { Notices } from './notices';
import { Pointers } from './pointers';
import { StatsPanel } from './stats-panel';

/** The elements that a viewer is attached to. */
export interface Parts {
  frame: HTMLElement;
  stage: HTMLElement;
  picture: HTMLElement;
  holder: HTMLElement;
  field: HTMLTextAreaElement;
}

interface Props {
  /** Attaches a viewer until the returned function is called. */
  mount: (parts: Parts) => () => void;
  attached: Attached | null;
  label: string;
  view: View;
  stats: boolean;
  /** Shows the bar, where it is hidden. */
  onShowBar: (() => void) | undefined;
}

/** The picture in its frame, and what is shown over it. */
export function Screen({ mount, attached, label, view, stats, onShowBar }: Props) {
  const stage = useRef<HTMLDivElement>(null);
  const picture = useRef<HTMLDivElement>(null);
  const holder = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLTextAreaElement>(null);
  const attach = useCallback(
    // Called when all that is in the frame is there.
    (frame: HTMLDivElement) => {
      if (!stage.current || !picture.current || !holder.current || !field.current) return undefined;
      return mount({
        frame,
        stage: stage.current,
        picture: picture.current,
        holder: holder.current,
        field: field.current,
      });
    },
    [mount],
  );
  useEffect(() => {
    attached?.show(view);
  }, [attached, view]);
  return (
    <div className={classes.screen}>
      <div ref={attach} className={classes.frame}>
        <div ref={stage} className={classes.stage}>
          <div ref={picture} className={classes.picture} hidden>
            <div ref={holder} className={classes.holder} />
            {attached && <Pointers attached={attached} />}
          </div>
          <textarea
            ref={field}
            className={classes.field}
            aria-label={label}
            inputMode="none"
            autoCapitalize="none"
            autoComplete="off"
            autoCorrect="off"
            spellCheck={false}
          />
        </div>
      </div>
      {attached && <Notices viewer={attached.viewer} />}
      {attached && stats && <StatsPanel viewer={attached.viewer} />}
      {onShowBar && (
        <Tooltip label="Show the bar (Ctrl+F6)">
          <ActionIcon
            className={classes.handle ?? ''}
            variant="default"
            size={26}
            aria-label="Show the bar"
            onClick={onShowBar}
          >
            <IconChevronDown size={16} />
          </ActionIcon>
        </Tooltip>
      )}
    </div>
  );
}
