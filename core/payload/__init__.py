"""payload: the bodies of requests and answers: content types, decoding, encoding, negotiation.

May import runtime and data.
"""

from ..data.npy import MAX_NPY_HEAD, joined_npy, npy_layout
from ..data.numbers import FLOAT32_LIMIT, UTF8_MARK, parse_csv
from ..runtime.deprecated import keep_old_names
from ..runtime.faults import MAX_FAULTS, either
from .content_types import (
    CSV,
    JPEG,
    JSON,
    JSONLINES,
    NPY,
    PNG,
    RECORDIO_PROTOBUF,
    TEXT,
    WEBP,
    check_content_type,
    content_type_of,
    endings,
    media_type,
    number_parameter,
    parameter,
)
from .decode import (
    decode_array,
    decode_image,
    decode_json,
    decode_records,
    half_character,
    lines_of_records,
)
from .encode import (
    encode_answers,
    encode_csv,
    encode_json,
    encode_jsonlines,
    encode_npy,
    plain,
)
from .negotiate import negotiate

__all__ = [
    "CSV",
    "FLOAT32_LIMIT",
    "JPEG",
    "JSON",
    "JSONLINES",
    "MAX_FAULTS",
    "MAX_NPY_HEAD",
    "NPY",
    "PNG",
    "RECORDIO_PROTOBUF",
    "TEXT",
    "UTF8_MARK",
    "WEBP",
    "check_content_type",
    "content_type_of",
    "decode_array",
    "decode_image",
    "decode_json",
    "decode_records",
    "either",
    "encode_answers",
    "encode_csv",
    "encode_json",
    "encode_jsonlines",
    "encode_npy",
    "endings",
    "half_character",
    "joined_npy",
    "lines_of_records",
    "media_type",
    "negotiate",
    "npy_layout",
    "number_parameter",
    "parameter",
    "parse_csv",
    "plain",
]

keep_old_names(__name__, "codecs")
