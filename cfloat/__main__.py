"""``python -m cfloat`` is the command ``cfloat``."""

import sys

from ._cli.main import main

sys.exit(main())
