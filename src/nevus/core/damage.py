"""What reading a zip archive raises that is damaged: also an `.npz`, a `.keras`, or a part of one."""

import struct
import zipfile
import zlib
from lzma import LZMAError

# NotImplementedError is for a compression that is not known; a ValueError is NumPy's for an array that is cut off.
DAMAGE = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError, ValueError, struct.error)
