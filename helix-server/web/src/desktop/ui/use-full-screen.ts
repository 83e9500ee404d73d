import { useEffect, useState } from 'react';

import { useCell } from '../cell';
import { FullScreen, type Filled } from '../full-screen';

/** What the desktop fills, and whether it is to fill the screen. */
export function useFullScreen(): [filled: Filled, setFull: (full: boolean) => void] {
  const [screen] = useState(() => new FullScreen());
  useEffect(() => screen.begin(), [screen]);
  return [
    useCell(screen.filled),
    (full) => {
      if (full) void screen.enter();
      else screen.leave();
    },
  ];
}
