import { Anchor } from '@mantine/core';

import type { AgentContent } from '../../api/types';
import { Markdown } from '../../chat/markdown';
import classes from './session.module.css';

/** Pictures that a browser shows and that can hold no program. */
const PICTURES = new Set(['image/png', 'image/jpeg', 'image/gif', 'image/webp']);
/** Longer text is shown as it is: to lay it out would freeze the page. */
const MOST_MARKDOWN = 200_000;

interface Props {
  parts: readonly AgentContent[];
  /** Whether more is being written. */
  running?: boolean;
  /** Whether text is shown as it was typed. */
  typed?: boolean;
}

/** What somebody said, or a tool gave back. */
export function Contents({ parts, running = false, typed = false }: Props) {
  // Pieces have no identity but their place.
  return parts.map((part, index) => (
    <Content key={index} part={part} running={running} typed={typed} />
  ));
}

function Content(props: { part: AgentContent; running: boolean; typed: boolean }) {
  const { part, running, typed } = props;
  switch (part.type) {
    case 'text':
      if (typed) return <div>{part.text}</div>;
      if (part.text.length > MOST_MARKDOWN) return <Output text={part.text} label="Long text" />;
      return <Markdown text={part.text} running={running} />;
    case 'image':
      if (!PICTURES.has(part.mime)) return <Named text={`A picture of type ${part.mime}`} />;
      return (
        <img
          className={classes.picture}
          src={`data:${part.mime};base64,${part.data}`}
          alt="In the conversation"
        />
      );
    case 'audio':
      return <Named text="A sound, which cannot be played here" />;
    case 'link':
      return <Linked uri={part.uri} name={part.name} />;
    case 'resource':
      return <Output text={part.text} label={part.uri} />;
  }
}

function Linked({ uri, name }: { uri: string; name: string }) {
  const shown = name === '' ? uri : name;
  if (!/^https?:\/\//.test(uri)) return <Named text={shown} />;
  return (
    <Anchor href={uri} target="_blank" rel="noopener noreferrer nofollow" size="sm">
      {shown}
    </Anchor>
  );
}

const Named = ({ text }: { text: string }) => <div className={classes.small}>{text}</div>;

/** Text as a program wrote it, which scrolls. */
export function Output({ text, label }: { text: string; label: string }) {
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls
    <pre className={classes.output} tabIndex={0} role="group" aria-label={label}>
      {text}
    </pre>
  );
}
