"""`python -m uniaudio`, where the `uniaudio` script is not on the path."""

import sys

from uniaudio.cli import main

sys.exit(main())
