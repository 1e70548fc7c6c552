"""Databases that earlier versions wrote, one folder for each format, and the test that all of them can still be read.

`python -m tests.formats.write` adds the format of the version at hand: run it for every release that changes it.
"""

SQLITE, POSTGRESQL, EXPECTED = "model-lab.sqlite.gz", "postgresql.sql.gz", "expected.json"
