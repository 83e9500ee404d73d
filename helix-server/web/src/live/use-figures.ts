import { useEffect, useState } from 'react';

import { FiguresStream, type Figures } from './figures';

/** Figures that are pushed while the page is seen; none where there is no `url`. */
export function useFigures<T>(url: string | null): Figures<T> {
  const [figures, setFigures] = useState<Figures<T> & { of?: string }>({});
  useEffect(() => {
    if (url === null) return;
    const stream = new FiguresStream<T>({
      url,
      onChange: (next) => {
        setFigures({ ...next, of: url });
      },
    });
    const look = () => {
      stream.show(!document.hidden);
    };
    look();
    document.addEventListener('visibilitychange', look);
    return () => {
      document.removeEventListener('visibilitychange', look);
      stream.show(false);
    };
  }, [url]);
  // Those of another are not those of this one.
  return url !== null && figures.of === url ? figures : {};
}
