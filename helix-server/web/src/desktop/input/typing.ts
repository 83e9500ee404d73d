import { isKey, type Keyboard } from './keyboard';
import { PasteGate, pastes } from './paste';

interface Options {
  keyboard: Keyboard;
  /** Whether what is pasted is passed on. */
  clipboard: () => boolean;
  /** Passes on what was pasted. */
  onPaste: (data: DataTransfer) => Promise<void>;
  /** The keyboard's way out. */
  onLeave: () => void;
  /** The field lost the keyboard. */
  onBlur: () => void;
  /** Ends it. */
  signal: AbortSignal;
}

/** What is in the field: something that a keyboard on a screen can delete. */
const KEPT = ' ';

/** What keyboards on a screen do to a text, as keys. */
const EDITS: Record<string, string> = {
  deleteContentBackward: 'Backspace',
  deleteWordBackward: 'Backspace',
  deleteContentForward: 'Delete',
  insertLineBreak: 'Enter',
  insertParagraph: 'Enter',
};

/**
 * Takes what is typed into a field: keys by their place, and, from input methods and keyboards on
 * a screen, what they make.
 */
export function attachTyping(field: HTMLTextAreaElement, options: Options): void {
  const { keyboard, signal } = options;
  const gate = new PasteGate();
  /** The key that pastes went down, and the browser is about to say what is pasted. */
  let pasting: KeyboardEvent | undefined;
  const clear = () => {
    field.value = KEPT;
    field.setSelectionRange(KEPT.length, KEPT.length);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (composes(event)) return;
    if (event.ctrlKey && event.key === 'F6') {
      event.preventDefault();
      options.onLeave();
    } else if (options.clipboard() && pastes(event)) {
      // The browser pastes, which needs nobody's permission.
      if (!event.repeat) pasting = event;
    } else {
      // What is no key says what it is in the field.
      if (isKey(event)) event.preventDefault();
      gate.run(() => {
        keyboard.down(event);
      });
    }
  };
  const onKeyUp = (event: KeyboardEvent) => {
    const missed = pasting?.code === event.code ? pasting : undefined;
    if (missed) {
      pasting = undefined;
      gate.run(() => {
        keyboard.down(missed);
      });
    }
    gate.run(() => {
      keyboard.up(event);
    });
    event.preventDefault();
  };
  const onPaste = (event: ClipboardEvent) => {
    event.preventDefault();
    if (event.clipboardData && options.clipboard()) {
      gate.hold(options.onPaste(event.clipboardData));
    }
    const press = pasting;
    pasting = undefined;
    if (press) {
      gate.run(() => {
        keyboard.down(press);
      });
    }
  };
  const onInput = (event: Event) => {
    const { inputType, data, isComposing } = event as InputEvent;
    if (isComposing) return;
    const code = EDITS[inputType];
    if (code !== undefined) keyboard.press({ code, key: '' });
    else if (data !== null) keyboard.typed(data);
    clear();
  };
  const onComposed = (event: CompositionEvent) => {
    keyboard.typed(event.data);
    clear();
  };
  const onBlur = () => {
    pasting = undefined;
    options.onBlur();
  };
  clear();
  field.addEventListener('keydown', onKeyDown, { signal });
  field.addEventListener('keyup', onKeyUp, { signal });
  field.addEventListener('paste', onPaste, { signal });
  field.addEventListener('input', onInput, { signal });
  field.addEventListener('compositionend', onComposed, { signal });
  field.addEventListener('blur', onBlur, { signal });
}

/** Whether an input method takes the key. */
function composes(event: KeyboardEvent): boolean {
  if (event.isComposing || event.key === 'Process') return true;
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- all that Safari says of the last key of a composition
  return event.keyCode === 229;
}
