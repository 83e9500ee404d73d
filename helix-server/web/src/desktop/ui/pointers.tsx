import type { CSSProperties } from 'react';

import type { Attached, CursorLook } from '../attached';
import { useCell } from '../cell';
import { shareOf } from '../input/fit';
import type { Present } from '../wire';
import classes from './desktop.module.css';

/** Told apart by people who see colours differently, and read on any picture by their outline. */
const COLOURS = ['#0b7a70', '#c2410c', '#1d4ed8', '#a21caf', '#4d7c0f', '#b42318'];

export const colourOf = (viewer: number): string => COLOURS[viewer % COLOURS.length] ?? '';

const at = ({ x, y }: { x: number; y: number }): CSSProperties => ({
  left: `${shareOf(x) * 100}%`,
  top: `${shareOf(y) * 100}%`,
});

/** Where the others point, and the desktop's own pointer where it is not the browser's. */
export function Pointers({ attached }: { attached: Attached }) {
  const { viewer } = attached;
  const present = useCell(viewer.present);
  const pointer = useCell(viewer.pointer);
  const cursor = useCell(attached.cursor);
  const size = useCell(viewer.size);
  return (
    <div className={classes.pointers} aria-hidden>
      {pointer && cursor && size && <Own at={at(pointer)} cursor={cursor} size={size} />}
      {present
        .filter(({ you, pointing }) => pointing && !you)
        .map((other) => (
          <Other key={other.viewer} other={other} />
        ))}
    </div>
  );
}

function Own(props: {
  at: CSSProperties;
  cursor: CursorLook;
  size: { width: number; height: number };
}) {
  const { cursor, size } = props;
  return (
    <div className={classes.pointer} style={{ ...props.at, width: '100%', height: '100%' }}>
      <img
        src={cursor.url}
        alt=""
        draggable={false}
        style={{
          position: 'absolute',
          width: `${(cursor.width / size.width) * 100}%`,
          left: `${(-cursor.hotspotX / size.width) * 100}%`,
          top: `${(-cursor.hotspotY / size.height) * 100}%`,
        }}
      />
    </div>
  );
}

function Other({ other }: { other: Present }) {
  const colour = colourOf(other.viewer);
  return (
    <div className={classes.pointer} style={at(other)}>
      <svg width="18" height="18" viewBox="0 0 18 18">
        <path
          d="M1.5 1.5 L6.2 15.5 L9 9 L15.5 6.2 Z"
          fill={colour}
          stroke="#ffffff"
          strokeWidth="1.5"
          strokeLinejoin="round"
        />
      </svg>
      <span className={classes.pointerName} style={{ background: colour }}>
        {other.name || 'Somebody'}
      </span>
    </div>
  );
}
