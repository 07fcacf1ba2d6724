"""The rules and the SQL. No HTTP."""
