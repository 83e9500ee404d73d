import type { ITheme } from '@xterm/xterm';

const LIGHT: ITheme = {
  background: '#ffffff',
  foreground: '#172120',
  cursor: '#0b7a70',
  cursorAccent: '#ffffff',
  selectionBackground: '#b7e4dc',
  black: '#172120',
  red: '#b42318',
  green: '#15803d',
  yellow: '#946200',
  blue: '#1d4ed8',
  magenta: '#9333ea',
  cyan: '#0e7490',
  white: '#566462',
  brightBlack: '#66706f',
  brightRed: '#d92d20',
  brightGreen: '#16a34a',
  brightYellow: '#b54708',
  brightBlue: '#2563eb',
  brightMagenta: '#a855f7',
  brightCyan: '#0891b2',
  brightWhite: '#172120',
};

const DARK: ITheme = {
  background: '#0b0f0f',
  foreground: '#e4eae9',
  cursor: '#41d1b4',
  cursorAccent: '#0b0f0f',
  selectionBackground: '#1d5b52',
  black: '#2b3433',
  red: '#ff8a80',
  green: '#7ee2a8',
  yellow: '#f5d67b',
  blue: '#8ab4ff',
  magenta: '#d7a8ff',
  cyan: '#7fe3ee',
  white: '#d5dcdb',
  brightBlack: '#8f9c9b',
  brightRed: '#ffb0a8',
  brightGreen: '#a8f0c6',
  brightYellow: '#ffe7a3',
  brightBlue: '#b3cfff',
  brightMagenta: '#e8ccff',
  brightCyan: '#b2f1f7',
  brightWhite: '#ffffff',
};

export const terminalTheme = (scheme: 'light' | 'dark'): ITheme =>
  scheme === 'dark' ? DARK : LIGHT;
