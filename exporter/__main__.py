"""`python -m exporter` is `videotask-exporter`."""

import sys

from exporter.cli import main

sys.exit(main())
