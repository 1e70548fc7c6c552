"""ZIP files from outside (npz, pt): what they claim is checked before anything is unpacked."""

import zipfile
import zlib
from typing import BinaryIO

from app.errors import Malformed, TooLarge, Unprocessable
from app.settings import Limits
from app.tensors.bounds import LONGEST_NAME, MOST_TENSORS

# what a broken entry may raise while it is unpacked
BROKEN_ENTRY = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, NotImplementedError, RuntimeError)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def open_zip(file: BinaryIO, what: str, limits: Limits) -> zipfile.ZipFile:
    """Opens a ZIP file whose entries, unpacked, stay within the limits.

    Raises Malformed; Unprocessable (`limit-exceeded`) for too many entries; TooLarge for too many bytes.
    """
    try:
        archive = zipfile.ZipFile(file)
        entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError, UnicodeDecodeError) as error:
        raise Malformed(f"This is not a {what} file: {str(error)[:200]}.") from None
    if len(entries) > MOST_TENSORS:
        raise Unprocessable(f"{len(entries)} entries; at most {MOST_TENSORS} are read.", code="limit-exceeded")
    names: set[str] = set()
    for entry in entries:
        if entry.filename in names:
            raise Malformed(f"The {what} file holds '{entry.filename[:80]}' twice.")
        names.add(entry.filename)
        if len(entry.filename) > LONGEST_NAME + 4:
            raise Malformed(f"The {what} file holds a name of {len(entry.filename)} characters.")
        if entry.flag_bits & 1 or entry.compress_type not in _METHODS:
            raise Malformed(f"The {what} file holds '{entry.filename[:80]}' encrypted or compressed in a rare way.")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > limits.parameter_bytes:
        raise TooLarge(f"The {what} file is {unpacked} bytes when unpacked; at most {limits.parameter_bytes} are read.")
    return archive


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, what: str) -> bytes:
    """Unpacks one entry; never more than its stated size. Raises Malformed."""
    try:
        with archive.open(entry) as stream:
            data = stream.read(entry.file_size + 1)
    except BROKEN_ENTRY as error:
        raise Malformed(f"'{entry.filename[:80]}' in the {what} file is broken: {str(error)[:200]}.") from None
    if len(data) != entry.file_size:
        raise Malformed(f"'{entry.filename[:80]}' in the {what} file is not as long as stated.")
    return data
