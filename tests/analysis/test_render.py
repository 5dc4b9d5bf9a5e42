from monosema.analysis import Example, render_example


def example(*tokens: str, strongest: int = 1) -> Example:
    return Example(0, 7, 3.25, tokens, (0.0,) * len(tokens), strongest)


def test_the_strongest_token_is_marked():
    assert render_example(example("def", " f", "(x)")).endswith("  def« f»(x)")
    assert "3.25" in render_example(example("def", " f", "(x)"))


def test_a_line_stays_a_line_and_cannot_move_the_terminal():
    line = render_example(example("a\n", "\tb\x1b[31m", "\r\n[bold]c"))
    assert line.isprintable()
    assert "a⏎" in line
    assert "[bold]c" in line
