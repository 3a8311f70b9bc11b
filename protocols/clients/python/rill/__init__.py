"""rill: publish, read and watch streams. See README.md."""
from .connection import Connection, connect
from .errors import RillError
from .reader import Chunk
from .source import Source
from .tap import Tap
from .watch import Watch

__all__ = ['Chunk', 'Connection', 'RillError', 'Source', 'Tap', 'Watch',
           'connect']
