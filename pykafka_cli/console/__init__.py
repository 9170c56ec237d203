"""The two console tools.

A line becomes a record: ``stdin`` (lines as they arrive), ``records_in`` (lines -> records), ``produce`` (the loop).
A record becomes a line: ``consume`` (the loop), ``records_out``, ``formatters`` and ``deserializers`` (records ->
text), ``printing`` (text -> stdout). ``json_lines`` is both ways in another form.
"""
