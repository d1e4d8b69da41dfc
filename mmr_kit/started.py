"""Which process started this one: asked when the package is imported, before anything slow is, as the parent may die meanwhile."""

import os

STARTED_BY = os.getppid()
