"""Files of activations of every kind give the same tensors, or say what is wrong with them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from monosema.activations import TensorSource, load_tensors
from monosema.errors import InputError


def table(rows: torch.Tensor, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.parquet

    lists = pa.FixedSizeListArray.from_arrays(pa.array(rows.flatten().numpy()), rows.shape[1])
    columns = pa.table({"activations": lists, "text": ["x"] * len(rows)})
    write = pyarrow.parquet.write_table if path.suffix == ".parquet" else pyarrow.feather.write_feather
    write(columns, str(path))


WRITERS: dict[str, Callable[[torch.Tensor, Path], object]] = {
    "x.npy": lambda rows, path: np.save(path, rows.numpy()),
    "x.pt": torch.save,
    "x.pth": lambda rows, path: torch.save({"activations": rows}, path),
    "x.parquet": table,
    "x.arrow": table,
    "x.feather": table,
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_written_is_read_and_can_be_trained_on(name: str, tmp_path: Path):
    rows = torch.randn(20, 3)
    WRITERS[name](rows, tmp_path / name)
    found = load_tensors(tmp_path / name)
    assert list(found) == ["activations"]
    assert torch.equal(found["activations"], rows)
    assert len(next(TensorSource(found, 5))["activations"]) == 5


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_cut_short_is_named(name: str, tmp_path: Path):
    WRITERS[name](torch.randn(200, 8), tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for length in (0, 3, len(whole) // 2):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(InputError, match=rf"{name} cannot be read"):
            load_tensors(tmp_path / name)


def test_columns_of_lists_may_be_several_and_of_any_kind_of_list(tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet

    columns = {"a": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32())), "b": pa.array([[1.0], [2.0]])}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
    found = load_tensors(tmp_path / "x.parquet")
    assert found["a"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert found["b"].tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize("rows", [[[1.0, 2.0], [3.0]], [[1.0], None]])
def test_lists_of_different_lengths_are_refused(rows: list[list[float] | None], tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table({"a": rows}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"column 'a' .* lists of these lengths"):
        load_tensors(tmp_path / "x.parquet")


def test_what_is_no_activations_is_refused(tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table({"a": [1, 2]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"has the columns \['a'\]"):
        load_tensors(tmp_path / "x.parquet")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(InputError, match="holds a list"):
        load_tensors(tmp_path / "list.pt")
    torch.save(Path("a"), tmp_path / "object.pt")  # nothing but tensors is unpickled
    with pytest.raises(InputError, match=r"object.pt cannot be read"):
        load_tensors(tmp_path / "object.pt")
