"""The exit codes of the commands, and of the processes that they start."""

DONE, ERROR, USAGE = 0, 1, 2
"""As click gives them."""

LOST = 70
"""A worker lost one of its run's processes (EX_SOFTWARE)."""

STOPPED = 75
"""Stopped, or another took the work over: it goes on later or there (EX_TEMPFAIL)."""

INTERRUPTED = 130
"""As a shell says it of Ctrl-C."""

MEANINGS = {
    DONE: "done",
    ERROR: "a mistake in the input, or failed runs",
    USAGE: "a mistake in the command",
    STOPPED: "an agent that a cluster stopped: its jobs go on when it starts again",
    INTERRUPTED: "interrupted, by Ctrl-C or SIGTERM; the same command goes on",
}
"""Those that a user sees."""
