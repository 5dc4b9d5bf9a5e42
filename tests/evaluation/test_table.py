from monosema.evaluation import evaluate, evaluate_rows, table_rows
from tests.evaluation.helpers import random_contexts, random_model, scaling
from tests.evaluation.test_rows import batches

CONTEXTS = random_contexts()
MEASURED = {
    "in a model": evaluate({"": scaling(1.0)}, random_model(), CONTEXTS)[""].metrics,
    "rows alone": evaluate_rows(scaling(1.0), batches()).metrics,
}


def test_the_columns_are_those_of_published_tables():
    headers = table_rows(MEASURED).headers
    assert headers[1:] == ["Variance Explained (%)", "L1", "L0", "% Alive", "CE Diff", "% CE Recovered"]


def test_a_row_for_each_dictionary_with_a_cell_for_each_column():
    table = table_rows(MEASURED)
    assert [row[0] for row in table.rows] == list(MEASURED)
    assert all(len(row) == len(table.headers) for row in table.rows)


def test_the_identity_reads_as_perfect_and_what_is_not_measured_as_a_dash():
    in_a_model, rows_alone = table_rows(MEASURED).rows
    assert in_a_model[1] == rows_alone[1] == "100.0"
    assert in_a_model[-2:] == ["0.000", "100.0"]
    assert rows_alone[-2:] == ["–", "–"]


def test_notes_say_how_many_tokens_and_what_became_of_special_ones():
    special, none = table_rows(MEASURED).notes
    assert str(MEASURED["in a model"].tokens) in special
    assert f"{int((CONTEXTS == 0).sum())} special tokens were neither" in special
    assert "special" not in none


def test_as_text_cells_end_below_each_other_and_notes_follow():
    table = table_rows(MEASURED)
    lines = str(table).splitlines()
    figures, notes = lines[: 1 + len(table.rows)], lines[1 + len(table.rows) :]
    assert len({len(line) for line in figures}) == 1
    assert all(line.endswith(cells[-1]) for line, cells in zip(figures, [table.headers, *table.rows], strict=True))
    assert notes == table.notes
