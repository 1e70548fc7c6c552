"""The database: connections, tables, migrations, and one module of queries per aggregate. No SQL outside here and `app.store`."""
