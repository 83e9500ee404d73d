import { MessagePrimitive, TextMessagePartProvider } from '@assistant-ui/react';
import {
  MarkdownTextPrimitive,
  unstable_memoizeMarkdownComponents as memoizeMarkdownComponents,
} from '@assistant-ui/react-markdown';
import remarkGfm from 'remark-gfm';

import { CodeBlock } from './code-block';
import classes from './markdown.module.css';

const PLUGINS = [remarkGfm];

const COMPONENTS = memoizeMarkdownComponents({
  SyntaxHighlighter: CodeBlock,
  CodeHeader: () => null,
  a: ({ href, children }) => (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  ),
  // An image in an answer would be fetched from wherever the model says, and could carry the
  // conversation there in its address: it is shown as a link.
  img: ({ src, alt }) => {
    const name = alt === undefined || alt === '' ? 'Image' : alt;
    if (typeof src !== 'string') return name;
    return (
      <a href={src} target="_blank" rel="noopener noreferrer nofollow">
        {name}
      </a>
    );
  },
  table: ({ children }) => (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls
    <div className={classes.table} tabIndex={0} role="region" aria-label="Table">
      <table>{children}</table>
    </div>
  ),
});

function MarkdownText() {
  return (
    <MarkdownTextPrimitive
      className={classes.markdown}
      components={COMPONENTS}
      remarkPlugins={PLUGINS}
      smooth={false}
      defer
    />
  );
}

/** The text of the answer around, as Markdown. */
export function AnswerText() {
  return <MessagePrimitive.Parts components={{ Text: MarkdownText }} />;
}

/** Text that is in no chat, as Markdown. */
export function Markdown({ text, running = false }: { text: string; running?: boolean }) {
  return (
    <TextMessagePartProvider text={text} isRunning={running}>
      <MarkdownText />
    </TextMessagePartProvider>
  );
}
