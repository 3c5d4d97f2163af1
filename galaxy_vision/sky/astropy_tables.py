"""Arrow batches to tables of astropy and back, with units, UCDs and descriptions."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy.table import Column, MaskedColumn, Table, represent_mixins_as_columns

from .about import about_of, as_about, with_about

MISSING_TEXT = ""


def plain_field(field: pa.Field) -> pa.Field:
    """Return the field of a column as VOTables, FITS and text can hold it: numbers, their arrays, truth, or text."""
    kind = field.type
    while pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind.storage_type
    if pa.types.is_fixed_size_list(kind) and _is_number(kind.value_type):
        kind = pa.list_(_plain_number(kind.value_type), kind.list_size)
    elif _is_number(kind):
        kind = _plain_number(kind)
    elif not pa.types.is_boolean(kind):
        kind = pa.string()
    return pa.field(field.name, kind, field.nullable, field.metadata)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _plain_number(kind: pa.DataType) -> pa.DataType:
    """VOTables have neither signed bytes, nor unsigned numbers of more bits, nor halves."""
    if pa.types.is_float16(kind):
        return pa.float32()
    wider = {pa.int8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.string()}
    return wider.get(kind, kind)


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch in the types of :func:`plain_field`; lists and structs become JSON, times ISO 8601."""
    fields = [plain_field(field) for field in batch.schema]
    arrays = [_cast(array, field.type) for array, field in zip(batch.columns, fields, strict=True)]
    return pa.record_batch(arrays, schema=pa.schema(fields))


def _cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not pa.types.is_string(kind) or pa.types.is_integer(array.type) or pa.types.is_large_string(array.type):
        return array.cast(kind)
    if pa.types.is_string(array.type):
        return array
    return pa.array([None if value is None else _text(value) for value in array.to_pylist()], kind)


def _text(value) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace").rstrip("\0 ")
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=_text)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def as_astropy(batch: pa.RecordBatch) -> Table:
    """Return a table of a :func:`plain` batch: absent numbers are masked or NaN, absent text is empty.

    Text columns are objects, so that batches of one table have the same type.
    """
    table = Table()
    for field, array in zip(batch.schema, batch.columns, strict=True):
        about = about_of(field)
        meta = {"ucd": about.ucd} if about.ucd else {}
        given = {"name": field.name, "unit": about.unit or None, "description": about.description, "meta": meta}
        table.add_column(_column(array, field.type, given))
    return table


def _column(array: pa.Array, kind: pa.DataType, given: dict) -> Column:
    if pa.types.is_string(kind):
        values = np.empty(len(array), object)
        values[:] = pc.fill_null(array, MISSING_TEXT).to_pylist()
        return Column(values, **given)
    if pa.types.is_fixed_size_list(kind):
        dtype = kind.value_type.to_pandas_dtype()
        absent = np.zeros(kind.list_size, dtype) if pa.types.is_integer(kind.value_type) else [np.nan] * kind.list_size
        rows = [absent if row is None else row for row in array.to_pylist()]
        return Column(np.array(rows, dtype).reshape(len(rows), kind.list_size), **given)
    if pa.types.is_floating(kind):
        return Column(array.to_numpy(zero_copy_only=False), **given)  # null becomes NaN
    mask = np.asarray(array.is_null()) if array.null_count else None
    values = np.asarray(pc.fill_null(array, False if pa.types.is_boolean(kind) else 0), kind.to_pandas_dtype())
    return Column(values, **given) if mask is None else MaskedColumn(values, mask=mask, **given)


def from_astropy(table: Table) -> pa.RecordBatch:
    """Return the batch of a table; coordinates, times and quantities become the columns that represent them."""
    table = represent_mixins_as_columns(table)
    arrays, fields = [], []
    for name in table.colnames:
        column = table[name]
        array = _array(column)
        fields.append(with_about(pa.field(name, array.type), as_about(column)))
        arrays.append(array)
    return pa.record_batch(arrays, schema=pa.schema(fields))


def _array(column: Column) -> pa.Array:
    mask = np.ma.getmaskarray(column) if isinstance(column, MaskedColumn) else None
    values = np.asarray(column.data if mask is None else column.data.data)
    if values.ndim > 1:
        whole = None if mask is None else mask.reshape(len(values), -1).all(axis=1)
        return pa.array(
            [None if whole is not None and whole[row] else item for row, item in enumerate(values.tolist())],
            _nested(values),
        )
    if values.dtype.kind in "SO":
        items = [None if mask is not None and np.all(mask[row]) else _item(item) for row, item in enumerate(values)]
        return pa.array(items) if any(item is not None for item in items) else pa.array(items, pa.string())
    if values.dtype.kind == "U":
        values = values.astype(object)
    elif values.dtype.kind == "c":
        return pa.array([str(value) for value in values])
    elif not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    return pa.array(values, mask=mask)


def _nested(values: np.ndarray) -> pa.DataType:
    kind = pa.string() if values.dtype.kind in "SU" else pa.from_numpy_dtype(values.dtype.newbyteorder("="))
    for length in reversed(values.shape[1:]):
        kind = pa.list_(kind, length)
    return kind


def _item(item):
    if isinstance(item, bytes):
        return item.decode("utf-8", "backslashreplace").rstrip("\0 ")
    return item.tolist() if isinstance(item, np.ndarray) else item
