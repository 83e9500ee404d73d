import { useEffect, useState } from 'react';

import type { Sandbox } from '../../api/types';
import { Gallery } from '../../desktop/thumbnails/gallery';
import { WallCard } from './wall-card';
import classes from './wall.module.css';

/** Sandboxes by what is on their desktops now. */
export function Wall({ sandboxes, everybody }: { sandboxes: Sandbox[]; everybody: boolean }) {
  const gallery = useGallery();
  return (
    <ul className={classes.wall} aria-label="Sandboxes">
      {sandboxes.map((sandbox) => (
        <WallCard key={sandbox.id} sandbox={sandbox} everybody={everybody} gallery={gallery} />
      ))}
    </ul>
  );
}

/** One for as long as the wall is shown. */
function useGallery(): Gallery {
  const [gallery] = useState(() => new Gallery());
  useEffect(() => gallery.begin(), [gallery]);
  return gallery;
}
