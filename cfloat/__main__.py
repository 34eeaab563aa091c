"""``python -m cfloat`` is the command ``cfloat``."""

import sys

from .cli import main

sys.exit(main())
