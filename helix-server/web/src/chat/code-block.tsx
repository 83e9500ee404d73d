import type { SyntaxHighlighterProps } from '@assistant-ui/react-markdown';
import { useDeferredValue, useEffect, useState } from 'react';

import { CopyButton } from '../components/copy';
import type { Highlighted } from './highlighter';
import classes from './markdown.module.css';

/** Longer code stays plain: colours are not worth a frozen page. */
const MAX_HIGHLIGHTED = 60_000;

/** A block of code: coloured once the highlighter is there, with a button that copies it. */
export function CodeBlock({ language, code }: SyntaxHighlighterProps) {
  const text = code.replace(/\n$/, '');
  const lines = useHighlighted(text, language);
  const label = language === 'unknown' || language === '' ? 'text' : language;
  return (
    <div className={classes.code}>
      <div className={classes.codeHead}>
        <span>{label}</span>
        <CopyButton text={text} label="Copy the code" />
      </div>
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls */}
      <pre tabIndex={0} aria-label={`Code, ${label}`} role="region">
        <code>{lines ? <Lines lines={lines} /> : text}</code>
      </pre>
    </div>
  );
}

function Lines({ lines }: { lines: Highlighted }) {
  return lines.map((line, index) => (
    // Lines of code have no identity but their place.
    <span key={index}>
      {line.map((token, place) => (
        <span key={place} style={token.style}>
          {token.text}
        </span>
      ))}
      {index < lines.length - 1 && '\n'}
    </span>
  ));
}

/** The coloured lines; undefined while there are none for exactly this text. */
function useHighlighted(code: string, language: string): Highlighted | undefined {
  const wanted = useDeferredValue(code);
  const [done, setDone] = useState<{ code: string; lines: Highlighted }>();
  useEffect(() => {
    if (wanted.length > MAX_HIGHLIGHTED) return;
    let stale = false;
    void import('./highlighter')
      .then(({ highlight }) => highlight(wanted, language))
      .then((lines) => {
        if (!stale && lines) setDone({ code: wanted, lines });
      });
    return () => {
      stale = true;
    };
  }, [wanted, language]);
  return done?.code === code ? done.lines : undefined;
}
