"""Errors of the registry: each holds one line per problem, for a person to read."""

from collections.abc import Iterable


class RegistryError(Exception):
    """Problems with plugins, one line each, that name the plugin, file or component and say what to do."""

    def __init__(self, *problems: str) -> None:
        self.problems = tuple(map(escaped, problems))  # some of it is always somebody else's text
        super().__init__("\n".join(self.problems))


class ManifestError(RegistryError):
    """A manifest that cannot be used."""


class UnknownComponent(RegistryError):
    """No usable component answers to an id, or several do."""


class PluginError(RegistryError):
    """A plugin's own code failed; `plugin` is its name."""

    def __init__(self, plugin: str, problem: str) -> None:
        super().__init__(problem)
        self.plugin = plugin


class NotAllowed(PluginError):
    """A policy does not allow a plugin."""

    def __init__(self, plugin: str, reason: str) -> None:
        super().__init__(plugin, f"plugin {plugin!r} is {reason}; ask who keeps that file")


def one_line(error: BaseException) -> str:
    """The type and the first line of the message of `error`, without what would control a terminal."""
    try:
        lines = str(error).strip().splitlines()
    except Exception as failure:  # a plugin's own class of errors may be broken too
        lines = [f"its message cannot be read ({type(failure).__name__})"]
    return f"{type(error).__name__}: {printable(lines[0])}" if lines else type(error).__name__


def printable(text: str, limit: int = 400) -> str:
    """At most `limit` characters of a line of somebody else's text; what cannot be printed is escaped."""
    shown = text if len(text) <= limit else f"{text[:limit]}..."
    return escaped(shown)


def escaped(text: str) -> str:
    """A line of somebody else's text, with what cannot be printed, and what a terminal would obey, escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known word closest to `word`, or nothing where none is close."""
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def listed(words: Iterable[str]) -> str:
    """Words as a sentence holds them: `a`, `a and b`, `a, b and c`."""
    *head, last = words
    return f"{', '.join(head)} and {last}" if head else last
