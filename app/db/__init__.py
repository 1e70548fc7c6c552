"""The database: connections, tables, migrations, and one module of queries per aggregate."""
