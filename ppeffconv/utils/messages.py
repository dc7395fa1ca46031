"""What an error of Paddle's says, without the traces around it."""

from __future__ import annotations

import re

_NAMED = re.compile(r"(\w+(\.\w+)*(Error|Exception|Warning): |\(\w+\) )\S")
_BEHIND = re.compile(r"(\s*\(at \S+:\d+\)|\s*\[operator < .* > error\])+$")  # where in Paddle, and in which operator


def brief(error: BaseException) -> str:
    """The line of an error's text that says what is wrong.

    Paddle wraps a text in a trace of its own, whose lines show the source of what raised it; the last line that begins
    with the name of an error is the text. An error without a text is told by its class.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    named = [line for line in lines if _NAMED.match(line)]
    return _BEHIND.sub("", named[-1] if named else lines[0])
