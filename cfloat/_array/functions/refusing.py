"""NumPy's functions that refuse a `CFloatArray`, and why."""

from typing import Final

from cfloat._array.registry import refuses

LIKE: Final = "like= does not tell the format and the bias; use cfloat.asarray"

refuses(
    LIKE,
    """
    arange array asanyarray asarray ascontiguousarray asfortranarray empty eye frombuffer fromfile
    fromfunction fromiter fromstring full genfromtxt identity loadtxt ones require tri zeros
    """,
)
refuses(
    "it would lose the format and the biases; save a.codes beside them, or np.asarray(a)",
    "save savez savez_compressed",
)
refuses(
    "it takes integers; a.codes are the bits of a",
    "bincount packbits unpackbits ravel_multi_index unravel_index",
)
refuses("it is about dates", "busday_count busday_offset datetime_as_string is_busday")
refuses(
    "it is about strings",
    """
    char.equal char.greater char.greater_equal char.less char.less_equal char.not_equal strings._join
    strings._rsplit strings._split strings._splitlines strings.capitalize strings.center strings.decode
    strings.encode strings.expandtabs strings.ljust strings.lower strings.mod strings.multiply
    strings.partition strings.replace strings.rjust strings.rpartition strings.swapcase strings.title
    strings.translate strings.upper strings.zfill
    """,
)
refuses(
    "it takes structured arrays",
    """
    append_fields apply_along_fields assign_fields_by_name drop_fields find_duplicates join_by merge_arrays
    rec_append_fields rec_drop_fields rec_join recursive_fill_fields rename_fields repack_fields
    require_fields stack_arrays structured_to_unstructured unstructured_to_structured
    """,
    "lib.recfunctions.",
)
