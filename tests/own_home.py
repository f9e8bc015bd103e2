"""Imported by what runs the program: the results that it keeps go to a folder of this test's own,
be it run by meson or by hand, and never to that of the user."""
import os
import tempfile

import kept_limits

HOME = tempfile.TemporaryDirectory()
os.environ["XDG_DATA_HOME"] = HOME.name
kept_limits.keep_for_tests()
