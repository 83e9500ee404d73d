import { useEffect, useState, type ComponentType } from 'react';

import { LoadingState } from './states';

/** A component in a file of its own, which may be loaded before it is shown. */
export type Loadable<P> = ComponentType<P> & { load: () => Promise<unknown> };

/**
 * A component that is loaded when it is first shown. Unlike React's `lazy`, it is shown as soon
 * as it is there: what had a fallback, React holds back for 300 ms.
 */
export function loadable<P extends object>(
  load: () => Promise<{ default: ComponentType<P> }>,
  label: string,
): Loadable<P> {
  let loaded: ComponentType<P> | undefined;
  let loading: Promise<ComponentType<P>> | undefined;
  // What has failed stays failed until the app is loaded anew: Vite waits for a file's style sheet
  // the first time only, and a second import would be shown without it.
  const once = () => (loading ??= load().then((file) => (loaded = file.default)));

  function Loaded(props: P) {
    const [, setDone] = useState(loaded !== undefined);
    const [failed, setFailed] = useState<{ error: unknown }>();
    useEffect(() => {
      let gone = false;
      once().then(
        () => {
          if (!gone) setDone(true);
        },
        (error: unknown) => {
          if (!gone) setFailed({ error });
        },
      );
      return () => {
        gone = true;
      };
    }, []);
    if (failed) throw failed.error;
    const Content = loaded;
    return Content ? <Content {...props} /> : <LoadingState label={label} />;
  }
  Loaded.load = once;
  return Loaded;
}
