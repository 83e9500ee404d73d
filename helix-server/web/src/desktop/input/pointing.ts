import type { Up } from '../wire';
import { toPicture, type Box, type Placed } from './fit';
import { movedBy, type Fingers, type Mouse } from './pointer';
import type { Wheel } from './wheel';

interface Options {
  mouse: Mouse;
  fingers: Fingers;
  wheel: Wheel;
  say: (message: Up) => void;
  /** Where the picture is, in the browser's window; nothing before the first. */
  placed: () => Placed | null;
  /** The size of the picture itself. */
  picture: () => Box | null;
  /** The desktop is touched: the keyboard goes there, too. */
  onTouched: () => void;
  /** Where the pointer is while it is locked; `null` when it is where the browser's own is. */
  onPointer: (at: { x: number; y: number } | null) => void;
  /** The browser's pointer moved. */
  onMoved: (event: PointerEvent) => void;
  /** The pointer is not locked any more. */
  onUnlocked: () => void;
  /** Ends it. */
  signal: AbortSignal;
}

/** Raw moves come up to 8,000 times a second; a picture is painted far less often. */
const RAW_MS = 4;

/** Tells the desktop what a mouse, a pen or fingers do on `stage`. */
export function attachPointing(stage: HTMLElement, options: Options): void {
  const { mouse, fingers, wheel, signal } = options;
  let last = { x: 0, y: 0 };
  let rawAt = 0;
  const locked = () => document.pointerLockElement === stage;
  const whereIs = (event: MouseEvent) => {
    const placed = options.placed();
    return placed && toPicture({ x: event.clientX, y: event.clientY }, placed);
  };

  const moved = (event: PointerEvent) => {
    const at = whereIs(event);
    if (!at) return;
    if (event.pointerType === 'touch') {
      fingers.move(event.pointerId, at);
      return;
    }
    last = at;
    options.onPointer(null);
    // Buttons that went down beside the picture are not the desktop's.
    mouse.at(at, mouse.pressed ? event.buttons : 0);
  };
  const onMove = (event: PointerEvent) => {
    if (locked()) {
      lockedMove(event);
    } else {
      moved(event);
      options.onMoved(event);
    }
  };
  const lockedMove = (event: PointerEvent) => {
    const placed = options.placed();
    const picture = options.picture();
    if (!placed || !picture) return;
    const scale = picture.width / placed.width;
    const by = { x: event.movementX * scale, y: event.movementY * scale };
    mouse.by(by.x, by.y, event.buttons);
    last = movedBy(last, by, picture);
    options.onPointer(last);
  };
  /** Moves as they are made; the browser tells the others when it is about to paint. */
  const onRawMove = (event: Event) => {
    if (locked() || event.timeStamp - rawAt < RAW_MS) return;
    rawAt = event.timeStamp;
    moved(event as PointerEvent);
  };
  const onDown = (event: PointerEvent) => {
    options.onTouched();
    if (locked()) {
      mouse.buttons(event.buttons);
      return;
    }
    const at = whereIs(event);
    if (!at || !inside(event, options.placed())) return;
    stage.setPointerCapture(event.pointerId);
    if (event.pointerType === 'touch') fingers.down(event.pointerId, at);
    else mouse.at(at, event.buttons);
  };
  const onUp = (event: PointerEvent) => {
    if (event.pointerType === 'touch') {
      fingers.up(event.pointerId, event.type === 'pointerup' ? 'up' : 'cancelled');
    } else if (mouse.pressed) {
      mouse.buttons(event.buttons);
    }
  };
  const onWheel = (event: WheelEvent) => {
    if (!locked() && !inside(event, options.placed())) return;
    event.preventDefault();
    const turned = wheel.turned(event);
    if (turned) options.say({ kind: 'wheel', ...turned });
  };
  let wasLocked = false;
  const onLockChange = () => {
    if (locked()) options.onPointer(last);
    else if (wasLocked) options.onUnlocked();
    wasLocked = locked();
  };
  /** The browser's menu, its back button, and its own dragging of pictures. */
  const keep = (event: Event) => {
    event.preventDefault();
  };
  stage.addEventListener('pointermove', onMove, { signal });
  stage.addEventListener('pointerrawupdate', onRawMove, { signal });
  stage.addEventListener('pointerdown', onDown, { signal });
  stage.addEventListener('pointerup', onUp, { signal });
  stage.addEventListener('pointercancel', onUp, { signal });
  stage.addEventListener('wheel', onWheel, { signal, passive: false });
  for (const kind of ['contextmenu', 'mousedown', 'mouseup', 'auxclick', 'dragstart']) {
    stage.addEventListener(kind, keep, { signal });
  }
  document.addEventListener('pointerlockchange', onLockChange, { signal });
}

function inside({ clientX: x, clientY: y }: MouseEvent, placed: Placed | null): boolean {
  if (!placed) return false;
  const right = placed.x + placed.width;
  const bottom = placed.y + placed.height;
  return x >= placed.x && x < right && y >= placed.y && y < bottom;
}
