"""All that knows SQL: tables, the repository over them, migrations, and the engines that run units of work."""
