"""Examples as plain text for a terminal."""

from monosema.analysis.examples import Example


def render_example(example: Example) -> str:
    """One line: the value, then the text with the strongest token between « and ».

    Line ends are shown as ⏎, and characters that would move or colour a terminal as ·.
    """
    tokens = [one_line(token) for token in example.tokens]
    tokens[example.strongest] = f"«{tokens[example.strongest]}»"
    return f"{example.value:8.2f}  {''.join(tokens)}"


def one_line(text: str) -> str:
    """Text with line ends as ⏎, tabs as spaces, and characters that would move, colour or reverse text as ·."""
    return "".join("⏎" if c == "\n" else c if c.isprintable() else " " if c == "\t" else "·" for c in text)
