"""The writing of files under its former name."""

from .support.files import clean as clean
from .support.files import is_temporary as is_temporary
from .support.files import make_folder as make_folder
from .support.files import probe as probe
from .support.files import write_atomic as write_atomic
