"""Results as text, tables and JSON; log lines and progress."""
