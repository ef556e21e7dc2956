"""Enter presentation stamps of a video's frames; leave exact times, and the ticks they reach."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction


@dataclass(slots=True)
class Timeline:
    """Seconds since the first frame that a stream shows, exact.

    Attributes:
        unit: seconds of one step of a stamp.
        gap: seconds between frames, for those without a stamp of their own.
        start: stamp of the first frame; None until it is decoded.
        last: time of the latest frame.
    """

    unit: Fraction
    gap: Fraction
    start: int | None = None
    last: Fraction | None = None

    def seconds(self, pts: int) -> Fraction:
        """Return the time of a stamp, once `start` is known."""
        assert self.start is not None, "the first frame was placed"
        return (pts - self.start) * self.unit

    def place(self, pts: int | None) -> Fraction:
        """Return the time of the next frame; without a stamp, one gap after the last."""
        following = self.unit * 0 if self.last is None else self.last + self.gap
        if pts is not None and self.start is None:
            self.start = pts - round(following / self.unit)
        self.last = following if pts is None else self.seconds(pts)
        return self.last


@dataclass(slots=True)
class Splice:
    """Carries stamps on where they begin anew, as they do where recordings were joined.

    Packets come in decoding order, by which their stamps never go back: what does by more than a
    second follows what came before it. Else a clock would pass over all of that. A jump forward
    stays: it may be a pause.

    Attributes:
        second, gap: a second and the time between frames, in steps of a stamp.
        shift: what is added to each stamp from here on; 0: nothing was joined yet.
        last: the latest decoding stamp, shifted.
    """

    second: int
    gap: int
    shift: int = 0
    last: int | None = None

    def over(self, dts: int) -> None:
        """Look at the decoding stamp of the next packet."""
        if self.last is not None and dts + self.shift < self.last - self.second:
            self.shift = self.last + self.gap - dts
        self.last = dts + self.shift


@dataclass(slots=True)
class Clock:
    """Ticks at 0, 1/rate, 2/rate, ...; each is struck by the first time at or after it.

    A time that does not strike leaves the clock as it was: frames that would not strike may be
    left out without changing which others do.
    """

    rate: Fraction
    tick: int = -1

    def strikes(self, time: Fraction) -> bool:
        """Tell whether this time is the first at or after some tick. Times come in order."""
        tick = math.floor(time * self.rate)
        if tick <= self.tick:
            return False
        self.tick = tick
        return True
