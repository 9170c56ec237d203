"""Bytes only: every layout of a data directory, packed and parsed, with no file opened here."""
