"""Arrow and Parquet files: declared sizes, and values that are validated before they are used."""

import itertools
import struct
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from notices import without_notice

from alsim.datasets.generate import generate_dataset
from alsim.utils.arrow import FREE_BYTES, MAX_RATIO, InvalidTable, TableFile, decoded, native_stream
from alsim.utils.parquet_pages import columns_of, unpacked_bytes

ROWS = 5000


def table():
    """A table with numbers, texts, lists, nulls and a long text."""
    random = np.random.default_rng(0)
    return pa.table(
        {
            "integer": random.integers(0, 100, ROWS),
            "number": random.normal(size=ROWS),
            "text": [f"{k}" for k in random.integers(0, 50, ROWS)],
            "list": [["a", "b"]] * ROWS,
            "long": ["y" * 50_000] + ["z"] * (ROWS - 1),
            "missing": pa.array([True, None] * (ROWS // 2)),
        }
    )


def read(path, columns=None):
    with TableFile(path) as file:
        return file.read(columns)


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_arrow_files_are_read(tmp_path, compression):
    pa.feather.write_feather(table(), str(tmp_path / "t.arrow"), compression=compression, chunksize=1000)
    with TableFile(tmp_path / "t.arrow") as file:
        assert file.num_rows == ROWS and file.names == table().column_names
        assert file.head(3, ["text"]).equals(table().select(["text"]).slice(0, 3))
        assert file.read().equals(table())
        parts = [*file.parts()]
        assert [len(part) for part in parts] == [1000] * (ROWS // 1000)
        assert pa.concat_tables(parts).equals(table())


def test_the_first_version_of_feather_is_refused(tmp_path):
    """A wrong length in such a file ended the process with SIGSEGV."""
    (tmp_path / "t.feather").write_bytes(b"FEA1" + bytes(100) + b"FEA1")
    with pytest.raises(InvalidTable, match="version 1 of Feather; expected version 2"):
        read(tmp_path / "t.feather")


def test_parquet_files_are_read_with_texts_as_dictionaries(tmp_path):
    pq.write_table(table(), tmp_path / "t.parquet", row_group_size=1000)
    with TableFile(tmp_path / "t.parquet") as file:
        assert file.num_rows == ROWS and file.names == table().column_names
        assert file.head(3, ["integer"]).equals(table().select(["integer"]).slice(0, 3))
        assert file.head(1500).to_pylist() == table().slice(0, 1500).to_pylist()  # of two groups of rows
        content, parts = file.read(), [*file.parts()]
        assert [len(part) for part in parts] == [1000] * (ROWS // 1000)
        assert [row for part in parts for row in part.to_pylist()] == table().to_pylist()
    assert pa.types.is_dictionary(content["text"].type)
    assert decoded(content["text"]).equals(table()["text"])
    assert content.to_pylist() == table().to_pylist()


def test_empty_tables_are_read(tmp_path):
    pq.write_table(table().slice(0, 0), tmp_path / "t.parquet")
    pa.feather.write_feather(table().slice(0, 0), str(tmp_path / "t.arrow"))
    for name in ("t.parquet", "t.arrow"):
        with TableFile(tmp_path / name) as file:
            assert (file.num_rows, file.head(5).num_rows, file.read().num_rows) == (0, 0, 0)
            assert sum(map(len, file.parts())) == 0


def test_files_of_polars_are_read(tmp_path):
    """Polars writes texts as views, and the schema in the footer only."""
    polars = pytest.importorskip("polars")
    texts = ["x", "a text of more than 12 bytes", None]
    frame = polars.DataFrame({"a": [1, 2, 3], "s": texts, "l": [["a"], ["b", "c"], texts]})
    frame.write_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").to_pylist() == frame.to_dicts()
    for compression in ("uncompressed", "lz4", "zstd"):
        for part in (frame, frame.head(0)):
            part.write_ipc(tmp_path / "t.arrow", compression=compression)
            assert read(tmp_path / "t.arrow").to_pylist() == part.to_dicts()


OPTIONS = [*itertools.product(["1.0", "2.0"], ["none", "zstd", "snappy"], [True, False], [True, False])]


@pytest.mark.parametrize(("version", "compression", "dictionary", "extras"), OPTIONS)
def test_pages_have_the_sizes_that_the_footer_says(tmp_path, version, compression, dictionary, extras):
    """The footer counts the headers of pages, too; statistics in them have the longest texts."""
    pq.write_table(
        *(table(), tmp_path / "t.parquet"),
        row_group_size=2000,
        data_page_size=4096,
        data_page_version=version,
        compression=compression,
        use_dictionary=dictionary,
        write_statistics=extras,
        write_page_checksum=extras,
    )
    metadata = pq.read_metadata(tmp_path / "t.parquet")
    with (tmp_path / "t.parquet").open("rb") as stream:
        columns = list(columns_of(stream))
        assert len(columns) == metadata.num_row_groups * metadata.num_columns
        for group, k in itertools.product(range(metadata.num_row_groups), range(metadata.num_columns)):
            column = metadata.row_group(group).column(k)
            unpacked = unpacked_bytes(stream, columns[group * metadata.num_columns + k])
            headers = column.total_uncompressed_size - unpacked
            assert 0 < headers < (200_000 if extras and column.path_in_schema == "long" else 4000)


@pytest.mark.skipif(int(pa.__version__.split(".")[0]) < 19, reason="this Arrow writes no statistics of sizes")
def test_invalid_statistics_of_sizes_are_refused(tmp_path):
    """The list has 4 levels, and its histogram in the footer 3. Arrow's metadata of a column ended the process."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": [[1, 2]] * 40 + [None] * 3 + [[]] * 5}), path)
    content = path.read_bytes()
    histogram = bytes([0x46, 6, 10, 0, 0xA0, 1])  # in the compact protocol, 4 numbers: 3, 5, 0, 80
    assert content.count(histogram) == 1
    path.write_bytes(content.replace(histogram, bytes([0x36, 6, 10, 0x80, 0xA0, 1])))
    with pytest.raises(InvalidTable):
        read(path)


def test_pages_that_declare_more_than_the_footer_are_refused(tmp_path):
    """Each of 400 pages of 8 kB declares 1 MB, by which Arrow would reserve memory; the footer declares 3 MB."""
    path = tmp_path / "t.parquet"
    zeros = pa.table({"x": np.zeros(400 * 1024)})
    options = {"use_dictionary": False, "compression": "zstd", "write_statistics": False}
    pq.write_table(zeros, path, **options, data_page_size=8192, write_batch_size=1024, store_schema=False)
    assert read(path).equals(zeros)
    size, huge = bytes([0x15, *varint(8192 + 7)]), bytes([0x15, *varint(2**20 - 1)])  # levels have 7 bytes
    content = path.read_bytes()
    assert content.count(size) >= 399 and len(size) == len(huge)
    path.write_bytes(content.replace(size, huge))
    declared = pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size
    assert declared < 4 * 10**6
    with pytest.raises(InvalidTable, match=r"declares contents of \d{3},\d{3},\d{3} bytes, more than 1,000"):
        read(path)


def varint(number):
    """Return a positive integer in the compact protocol of Thrift."""
    number, content = 2 * number, []
    while number > 127:
        content.append(number & 127 | 128)
        number >>= 7
    return [*content, number]


def test_an_incomplete_header_of_a_page_is_refused(tmp_path):
    pq.write_table(pa.table({"x": np.arange(100)}), tmp_path / "t.parquet")
    content = bytearray((tmp_path / "t.parquet").read_bytes())
    for header in (
        b"\x15\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x1c" * 20,
        b"\x1e" + b"\0" * 11,
        b"\x16\x02\0",
    ):
        content[4 : 4 + len(header)] = header
        (tmp_path / "t.parquet").write_bytes(content)
        with pytest.raises(InvalidTable):
            read(tmp_path / "t.parquet")


def test_views_of_one_text_are_refused(tmp_path):
    """2,000 views of one text of 1 MB, which is stored once."""
    text = b"x" * 10**6
    views = struct.pack("<i4sii", len(text), b"xxxx", 0, 0) * 2000
    try:
        column = pa.Array.from_buffers(pa.string_view(), 2000, [None, pa.py_buffer(views), pa.py_buffer(text)])
    except ValueError:
        pytest.skip("this version of Arrow builds no views of several buffers")
    content = pa.table({"x": column})
    with pa.ipc.new_file(str(tmp_path / "t.arrow"), content.schema) as writer:
        writer.write_table(content)
    with pytest.raises(InvalidTable, match="declares contents of 2,000,000,000 bytes"):
        read(tmp_path / "t.arrow")


def test_buffers_that_declare_a_large_size_are_refused(tmp_path):
    """A compressed buffer begins with its size, by which Arrow reserves memory."""
    path = tmp_path / "t.arrow"
    pa.feather.write_feather(pa.table({"x": np.zeros(10_000)}), str(path), compression="zstd")
    content, size = path.read_bytes(), struct.pack("<q", 80_000)
    assert content.count(size) == 1
    path.write_bytes(content.replace(size, struct.pack("<q", 2**40)))
    with pytest.raises(InvalidTable, match="declares contents of 1,099,511,"):
        read(path)


@pytest.mark.parametrize("length", [-1, 2000, 2**62])
def test_rows_beyond_the_buffers_are_refused(tmp_path, length):
    path = tmp_path / "t.arrow"
    pa.feather.write_feather(pa.table({"x": np.arange(1000)}), str(path), compression="uncompressed")
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<q", 1000), struct.pack("<q", length)))
    with pytest.raises(InvalidTable):
        read(path)


def test_an_index_beyond_its_dictionary_is_refused(tmp_path):
    path = tmp_path / "t.arrow"
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 77_777], pa.int32()), [*map(str, range(77_778))])
    pa.feather.write_feather(pa.table({"x": column}), str(path), compression="uncompressed")
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<ii", 1, 77_777), struct.pack("<ii", 1, 88_888)))
    with pytest.raises(InvalidTable, match="88888"):
        read(path)


def test_dictionaries_in_several_parts_are_refused(tmp_path):
    """Arrow joins the parts without a validation."""
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    parts = [pa.table({"x": pa.DictionaryArray.from_arrays([0, k], ["a", "b", "c"][: k + 1])}) for k in (1, 2)]
    with pa.ipc.new_file(str(tmp_path / "t.arrow"), parts[0].schema, options=options) as writer:
        for part in parts:
            writer.write_table(part)
    with pytest.raises(InvalidTable, match="it has a dictionary in several parts; write it again as one table"):
        read(tmp_path / "t.arrow")


def test_a_footer_that_differs_from_the_messages_is_refused(tmp_path):
    path = tmp_path / "t.arrow"
    pa.feather.write_feather(pa.table({"x": np.arange(1000)}), str(path), compression="uncompressed")
    content = path.read_bytes()
    end = len(content) - 10
    footer = end - struct.unpack_from("<i", content, end)[0]
    place = content.index(struct.pack("<q", 8000), footer)  # the length of the body
    for length in (7992, -8, 2**40):
        changed = bytearray(content)
        changed[place : place + 8] = struct.pack("<q", length)
        path.write_bytes(changed)
        with pytest.raises(InvalidTable):
            read(path)


@pytest.mark.parametrize(
    "content", [b"", b"ARROW1", b"ARROW1\0\0" + bytes(20) + b"ARROW1", b"PAR1", b"FEA1" + bytes(9)]
)
@pytest.mark.parametrize("name", ["t.arrow", "t.parquet"])
def test_other_files_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidTable) as raised:
        read(tmp_path / name)
    assert "\n" not in str(raised.value)


@pytest.mark.compiled
@pytest.mark.parametrize("policy", ["uniform", "rules"])
def test_datasets_declare_less_than_20_times_their_size(tmp_path, policy):
    """So a limit of 1,000 times refuses no dataset."""
    generate_dataset(num_learners=100, policy=policy, out=tmp_path / "d", store_observations=False)
    for path in tmp_path.glob("d/*/*.parquet"):
        with TableFile(path) as file:
            assert 8 * file.num_rows * len(file.names) < 20 * file.num_bytes
    assert (MAX_RATIO, FREE_BYTES) == (1000, 256 * 2**20)


def test_arrow_reads_its_own_streams(tmp_path):
    """Arrow's threads release what they read after the reader has returned; a Python object there may be too late."""
    pq.write_table(table(), tmp_path / "log.parquet")
    with open(tmp_path / "log.parquet", "rb") as stream:
        with native_stream(stream, tmp_path / "log.parquet") as native:
            assert type(native) is pa.OSFile
            assert native.read() == (tmp_path / "log.parquet").read_bytes()
        stream.seek(0)
        assert len(stream.read()) == (tmp_path / "log.parquet").stat().st_size


def test_the_file_that_was_opened_is_read_after_another_has_its_name(tmp_path):
    file = tmp_path / "log.parquet"
    pq.write_table(table(), file)
    with open(file, "rb") as stream:
        file.rename(tmp_path / "old.parquet")
        file.write_bytes(b"another file")
        with native_stream(stream, file) as native:
            assert native.read() == (tmp_path / "old.parquet").read_bytes()


@pytest.mark.ci
@pytest.mark.versionless
def test_processes_that_end_after_reading_do_not_abort(tmp_path):
    """Before Arrow read its own streams, 5 of 90 such processes, three at a time, ended with SIGABRT.

    With that rate, 24 processes do not show it with a probability of (1 - 5 / 90)**24 = 25 %.
    """
    command = [sys.executable, "-m", "alsim", "generate", "--learners", "10", "--out"]
    for k in range(8):
        started = [
            subprocess.Popen(
                [*command, str(tmp_path / f"{k}-{i}")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            for i in range(3)
        ]
        ends = [(without_notice(process.communicate()[1]), process.returncode) for process in started]
        assert ends == [("", 0)] * 3
