import json

import pytest

from monosema import tiny
from monosema.activations import open_text
from monosema.errors import InputError

TEXTS = ["one", "two\nlines", "ünïcode 漢字 🙂"]


def write(folder, kind):
    path = folder / f"texts{kind}"
    if kind == ".jsonl":
        path.write_text("\n\n".join(json.dumps({"text": t, "n": 1}) for t in TEXTS), encoding="utf-8")
    elif kind == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table({"n": [1, 2, 3], "text": TEXTS}), path)
    else:
        path.mkdir()
        for i, text in enumerate(TEXTS):
            (path / f"{i}.txt").write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", [".jsonl", ".parquet", ""])
def test_every_kind_of_file_gives_the_same_documents_on_every_pass(tmp_path, kind):
    text = open_text(str(write(tmp_path, kind)))
    assert list(text) == TEXTS
    assert list(text) == TEXTS


def test_lists_rows_and_opened_texts_are_texts():
    assert list(open_text(TEXTS)) == TEXTS
    assert list(open_text([{"body": t} for t in TEXTS], field="body")) == TEXTS
    assert list(open_text(open_text(TEXTS))) == TEXTS


def test_the_embedded_corpus_has_a_name():
    assert list(zip(open_text("tiny:heldout"), range(3), strict=False)) == list(
        zip(tiny.corpus("heldout"), range(3), strict=False)
    )


def test_one_txt_file_is_one_document(tmp_path):
    (tmp_path / "a.txt").write_text("a\n\nb\n")
    assert list(open_text(tmp_path / "a.txt")) == ["a\n\nb\n"]


def test_a_folder_of_data_is_a_hugging_face_data_set(tmp_path):
    (tmp_path / "train.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in TEXTS))
    text = open_text(f"hf:{tmp_path}")
    assert list(text) == TEXTS
    assert list(text) == TEXTS


def test_a_saved_hugging_face_data_set_is_read_from_its_folder(tmp_path):
    import datasets

    rows = datasets.Dataset.from_dict({"body": TEXTS})
    datasets.DatasetDict({"validation": rows}).save_to_disk(str(tmp_path / "saved"))
    assert list(open_text(f"hf:{tmp_path}/saved::validation", field="body")) == TEXTS
    assert list(open_text(rows, field="body")) == TEXTS


def test_an_iterator_can_be_read_once():
    text = open_text(iter(TEXTS))
    assert list(text) == TEXTS
    with pytest.raises(InputError, match="only once"):
        list(text)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("no/such/file.txt", "no text at"),
        ("tiny:test", "'tiny:train' or 'tiny:heldout'"),
        (b"bytes", "of type bytes"),
        ({"train": TEXTS}, "pick one"),
        (7, "of type int"),
        ("hf:no/such-data-set", "local .txt"),
    ],
)
def test_what_is_no_text_is_refused_at_once(what, says, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=says):
        open_text(what)


def test_an_unknown_ending_and_an_empty_folder_say_what_is_known(tmp_path):
    (tmp_path / "text.docx").write_text("x")
    for path in (tmp_path / "text.docx", tmp_path):
        with pytest.raises(InputError, match=r"\.jsonl or \.parquet or \.txt"):
            open_text(path)


def test_a_wrong_split_of_a_data_set_is_refused(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"text": "x"}')
    with pytest.raises(InputError, match="split 'nonsense'"):
        open_text(f"hf:{tmp_path}::nonsense")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b'{"body": "x", "id": 1}', "one of body, id"),
        ("a.jsonl", b'{"text": "x"}\n{"text": ', "line 2 is not JSON"),
        ("a.jsonl", b'{"text": 3}', "of type int"),
        ("a.jsonl", b"[1]", "line 1 is of type list"),
        ("a.jsonl", b'{"text": "\xff"}', "not UTF-8"),
        ("a.txt", b"\xff\xfe", "not UTF-8"),
        ("a.parquet", b"PAR1 not really", "cannot be read"),
    ],
)
def test_broken_files_are_named(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says) as error:
        list(open_text(tmp_path / name))
    assert name in str(error.value)


def test_parquet_and_rows_without_the_field_say_which_there_are(tmp_path):
    with pytest.raises(InputError, match="one of n, text"):
        list(open_text(write(tmp_path, ".parquet"), field="txet"))
    with pytest.raises(InputError, match="did you mean text"):
        list(open_text([{"text": "x"}], field="texts"))
