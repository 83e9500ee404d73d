import { useEffect, useRef, useState } from 'react';

/** Whoever is so close to the end reads it. */
const CLOSE_PX = 48;

/** Keeps the end of what grows in sight, unless somebody scrolled away from it. */
export function useEnd() {
  const viewport = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const [atEnd, setAtEnd] = useState(true);
  const wanted = useRef(true);

  useEffect(() => {
    const box = viewport.current;
    const inner = content.current;
    if (!box || !inner) return undefined;
    let height = 0;
    const scrolled = () => {
      // What grows moves nobody's place: only a scroll to another place says what is wanted.
      if (box.scrollHeight !== height) return;
      wanted.current = box.scrollHeight - box.scrollTop - box.clientHeight <= CLOSE_PX;
      setAtEnd(wanted.current);
    };
    const grown = new ResizeObserver(() => {
      height = box.scrollHeight;
      if (wanted.current) box.scrollTop = height;
      else setAtEnd(height - box.scrollTop - box.clientHeight <= CLOSE_PX);
    });
    grown.observe(inner);
    grown.observe(box);
    box.addEventListener('scroll', scrolled, { passive: true });
    return () => {
      grown.disconnect();
      box.removeEventListener('scroll', scrolled);
    };
  }, []);

  return {
    viewport,
    content,
    atEnd,
    toEnd: () => {
      const box = viewport.current;
      if (!box) return;
      wanted.current = true;
      setAtEnd(true);
      box.scrollTop = box.scrollHeight;
    },
  };
}
