"""What is on the screen while `cargo xtask bench stream` looks at it, 1280 by 720.

At the top is the clock as a barcode: 32 cells of 16 pixels, white for 1, the highest bit
first: 26 bits of milliseconds since the epoch, and 6 bits that check them. It is drawn with
every picture. Keys choose what is below: 1 stands still, 2 scrolls text, 3 moves noise over
the whole screen, 4 scrolls text ten times a second. Any other key turns the square at the lower right to its other colour.
"""

import random
import signal
import sys
import time

import cairo
import gi

gi.require_version("Gtk", "3.0")
from gi.repository import Gdk, GLib, Gtk  # noqa: E402

WIDTH, HEIGHT, CELL, BITS = 1280, 720, 16, 32
SQUARE = (1120, 560, 128, 128)


def text():
    """Lines, as a long log has them, so tall that scrolling begins again unseen."""
    surface = cairo.ImageSurface(cairo.FORMAT_RGB24, WIDTH, HEIGHT * 3)
    context = cairo.Context(surface)
    context.set_source_rgb(0.1, 0.1, 0.12)
    context.paint()
    context.select_font_face("DejaVu Sans Mono")
    context.set_font_size(14)
    chance = random.Random(1)
    for line in range(HEIGHT * 3 // 18):
        context.set_source_rgb(0.5 + chance.random() / 2, 0.8, 0.5 + chance.random() / 2)
        context.move_to(8, line % (HEIGHT * 2 // 18) * 18 + 14 + line // (HEIGHT * 2 // 18) * HEIGHT * 2)
        words = ["".join(chance.choices("abcdefghijklmnop", k=chance.randint(2, 9))) for _ in range(16)]
        context.show_text(f"{line:06} " + " ".join(words))
    return surface


def noise():
    """Blocks of any colour, a little larger than the screen."""
    surface = cairo.ImageSurface(cairo.FORMAT_RGB24, WIDTH + 256, HEIGHT + 256)
    context = cairo.Context(surface)
    chance = random.Random(2)
    for y in range(0, HEIGHT + 256, 8):
        for x in range(0, WIDTH + 256, 8):
            context.set_source_rgb(chance.random(), chance.random(), chance.random())
            context.rectangle(x, y, 8, 8)
            context.fill()
    return surface


class Screen(Gtk.Window):
    def __init__(self):
        super().__init__(title="bench")
        self.set_decorated(False)
        self.set_default_size(WIDTH, HEIGHT)
        self.mode, self.turned, self.step = 1, False, 0
        self.text, self.noise = text(), noise()
        self.area = Gtk.DrawingArea()
        self.area.connect("draw", self.draw)
        self.add(self.area)
        self.connect("key-press-event", self.pressed)
        self.connect("destroy", Gtk.main_quit)
        self.stop = lambda: None
        self.show_all()
        self.fullscreen()

    def tick(self, *_):
        self.step += 1
        self.area.queue_draw()
        return GLib.SOURCE_CONTINUE

    def choose(self, mode):
        """What stands still asks for no frames, as programs do that wait."""
        self.mode = mode
        self.stop()
        self.stop = lambda: None
        if mode == 4:
            slow = GLib.timeout_add(100, self.tick)
            self.stop = lambda: GLib.source_remove(slow)
        elif mode != 1:
            ticks = self.area.add_tick_callback(self.tick)
            self.stop = lambda: self.area.remove_tick_callback(ticks)

    def pressed(self, _, event):
        chosen = {Gdk.KEY_1: 1, Gdk.KEY_2: 2, Gdk.KEY_3: 3, Gdk.KEY_4: 4}.get(event.keyval)
        if chosen:
            self.choose(chosen)
        elif event.keyval < 0xFF00:
            self.turned = not self.turned
        self.area.queue_draw()
        return True

    def draw(self, _, context):
        if self.mode in (2, 4):
            context.set_source_surface(self.text, 0, -(self.step * 4 % (HEIGHT * 2 // 18 * 18)))
        elif self.mode == 3:
            context.set_source_surface(self.noise, -(self.step * 5 % 256), -(self.step * 3 % 256))
        else:
            context.set_source_rgb(0.2, 0.3, 0.4)
        context.paint()
        context.set_source_rgb(*((1, 1, 1) if self.turned else (0, 0, 0)))
        context.rectangle(*SQUARE)
        context.fill()
        self.barcode(context)

    def barcode(self, context):
        context.set_source_rgb(0, 0, 0)
        context.rectangle(0, 0, BITS * CELL, CELL)
        context.fill()
        now = int(time.time() * 1000) & (1 << 26) - 1
        check = (now ^ now >> 6 ^ now >> 12 ^ now >> 18 ^ now >> 24 ^ 0b101010) & 63
        value = now << 6 | check
        context.set_source_rgb(1, 1, 1)
        for bit in range(BITS):
            if value >> BITS - 1 - bit & 1:
                context.rectangle(bit * CELL, 0, CELL, CELL)
        context.fill()


signal.signal(signal.SIGTERM, lambda *_: sys.exit())
Screen()
Gtk.main()
