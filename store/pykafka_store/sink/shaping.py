"""Rows -> statements: which columns a table gets, what each row has in them, and which rows are none after all.

An existing table wins: values are converted to its columns' types or have a problem, a field without a column has one
unless the sink may add it, and no column ever changes its type or goes.

A field that a row lacks is NULL where the row is new, or the column's DEFAULT, and stays as it is where an upsert finds
its row. So rows are grouped by the fields that they have, where that makes a difference. An upsert or a deletion may
come before another one of the same key in one batch: then the later one counts, field by field, and a deletion between
two upserts is done before the second (statements.py). No key is in two statements, so their order does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import compress
from operator import itemgetter
from typing import NamedTuple

from pykafka_store.sink.arrays import fit_arrays
from pykafka_store.sink.cells import Cells, columns_of
from pykafka_store.sink.kinds import Seen, kind_for
from pykafka_store.sink.limits import cut_values
from pykafka_store.sink.making import Makeable
from pykafka_store.sink.options import SinkOptions, ValueType
from pykafka_store.sink.parsing import Parsed, Problem, Row
from pykafka_store.sink.sameness import same_keys
from pykafka_store.sink.statements import Group, folded, in_order
from pykafka_store.sink.target import Kind, SinkError, Statement, TableSchema, Target
from pykafka_store.sink.typed import typed
from pykafka_store.sink.values import DOUBLES

Extra = Mapping[str, Sequence[object]]
"""Columns that hold a value for every record of the batch."""


_KINDS_OF_TYPED: dict[ValueType, Kind] = {"timestamp-ms": Kind.TIMESTAMP, "base64": Kind.BYTES}


class Shaped(NamedTuple):
    """What a batch of one table comes to."""

    pk: tuple[str, ...]
    statements: Sequence[Statement]
    problems: Mapping[int, Problem]
    """By a record's number in the batch: those that are no rows."""
    nulled: Sequence[tuple[int, Problem]]
    """Values that are NULL instead, where that is what to do with those that don't fit."""
    schema: TableSchema | None = None
    """The table that the rows were fitted to."""


class Shaping:
    """The shaping of one batch for one table."""

    def __init__(
        self,
        target: Target,
        table: str,
        options: SinkOptions,
        parsed: Parsed,
        extra: Extra,
        exactly: Callable[[], Parsed] | None = None,
    ) -> None:
        """``exactly``: the same records, with all digits of their numbers (``Parsed.is_exact``)."""
        self._target = target
        self._table = table
        self._options = options
        self._parsed = parsed
        self._makeable = Makeable(parsed, refuses_nul=target.refuses_nul)
        self._exactly = exactly
        self._keeps_digits = False
        """Whether a column has numbers of which it keeps more digits than a double does, as far as types tell."""
        self._extra = extra
        self._problems: dict[int, Problem] = {}
        self._nulled: list[tuple[int, Problem]] = []
        self._cells = parsed.cells
        """The rows, where all have the same fields; else they are in ``_rows``."""
        self._rows: list[Row | None] = []
        self._deletions: dict[int, Row] = {}
        self._pk: tuple[str, ...] = options.pk
        self._shapes: Sequence[tuple[str, ...]] = ()
        """Which fields rows have, in order; each way once."""

    def shape(self) -> Shaped:
        """Raises SinkError where the table itself is not as it must be, and what the target raises."""
        self._look_at_rows()
        schema = self._schema()
        if schema is None:
            self._refuse_all()
            return Shaped(self._pk, (), self._problems, ())
        statements = self._statements(schema)
        if self._exactly is not None and self._keeps_digits and not self._parsed.is_exact:
            exact = self._exactly()
            if exact is not self._parsed:
                self._parsed = exact
                self._look_at_rows()
                statements = self._statements(schema)
        nulled = [(index, problem) for index, problem in self._nulled if index not in self._problems]
        return Shaped(self._pk, statements, self._problems, nulled, schema)

    def _statements(self, schema: TableSchema) -> list[Statement]:
        groups = [self._fitted(group, schema) for group in self._grouped(schema)]
        if self._options.mode in {"insert", "ignore"}:
            return list(in_order(groups, self._options.mode))
        deletions = self._fitted_deletions(schema)
        compare = partial(self._target.same_keys, self._table)
        same = same_keys(schema, self._pk, [*groups, deletions], compare)
        return folded(groups, deletions, self._pk, self._options.mode, same)

    def _look_at_rows(self) -> None:
        """Begin with what was parsed: tell rows from deletions and problems."""
        self._cells = self._parsed.cells
        self._rows = []
        self._problems, self._deletions, self._nulled = {}, {}, []
        for index, row in enumerate(self._parsed.outcomes):
            if isinstance(row, dict):
                self._rows.append(row)
                continue
            self._rows.append(None)
            if isinstance(row, Problem):
                self._problems[index] = row
            elif row is not None:
                self._deletions[index] = row.key
        if self._cells is None:
            self._shapes = list(dict.fromkeys(map(tuple, [row for row in self._rows if row is not None])))
        else:
            self._shapes = [self._parsed.names]

    # ---------------------------------------------------------------------------------------------------- the table

    def _schema(self) -> TableSchema | None:
        """The table as it will be written, made or widened where that is allowed; None where there is nothing to make
        it of.
        """
        schema = self._target.schema(self._table)
        if schema is None:
            if not self._options.create:
                raise SinkError(f"{self._target.name} has no table {self._table}, and --no-create forbids to make it")
            if not self._create():
                return None
            schema = self._target.schema(self._table)
            assert schema is not None
        else:
            fields = self._fields()
            known = {name.lower(): name for name in schema.columns}
            new = [name for name in fields if name.lower() not in known]
            allowed = [name for name in new if self._may_add(name, schema)]
            added = self._kinds(allowed, room=self._target.max_columns - len(schema.columns))
            if added:
                self._target.add_columns(self._table, added)
                schema = self._target.schema(self._table)
                assert schema is not None
        lacking = [name for name in self._extra if name not in schema.columns]
        if lacking:
            raise SinkError(f"table {self._table} has no column {lacking[0]} for --with or --pk. Try using --alter")
        self._check_pk(schema)
        return schema

    def _may_add(self, name: str, schema: TableSchema) -> bool:
        return self._options.alter or name in schema.pending

    def _create(self) -> bool:
        fields = self._fields()
        pk = self._pk_of_new()
        if not pk and self._options.mode != "insert":
            raise SinkError(f"table {self._table} is to be made: say with --pk which columns tell its rows apart")
        kinds = self._kinds(fields, room=self._target.max_columns)
        if not kinds:
            return False
        missing = [name for name in pk if name not in kinds]
        if missing:
            if self._options.errors != "stop":
                return False  # each of the records is bad for that
            raise SinkError(f"table {self._table} can't be made: no record has a value for {missing[0]} of --pk")
        pending = [name for name in fields if name not in kinds and self._target.check_name(name) is None]
        self._target.create_table(self._table, kinds, pk, pending)
        return True

    def _pk_of_new(self) -> tuple[str, ...]:
        if self._options.pk_is_offset:
            return ("topic", "partition", "offset")
        return self._parsed.key_names if self._options.pk_is_key else self._options.pk

    def _fields(self) -> list[str]:
        """The columns that the batch has values or nulls for, as they come."""
        names: dict[str, None] = {}
        for shape in self._shapes:
            names |= dict.fromkeys(shape)
        for key in self._deletions.values():
            names |= dict.fromkeys(key)
        if self._options.columns:
            wanted = {*self._options.columns, *self._options.pk}
            names = {name: None for name in names if name in wanted}
        return [*names, *(name for name in self._extra if name not in names)]

    def _kinds(self, names: Sequence[str], room: int) -> dict[str, Kind]:
        """The kinds of columns to make of these fields, those left out that have no value yet or can't be columns."""
        kinds: dict[str, Kind] = {}
        lower: set[str] = set()
        for name in names:
            if len(kinds) >= room or name.lower() in lower or self._target.check_name(name) is not None:
                continue
            if name in self._extra:
                values: Sequence[object] = self._extra[name]
            else:
                values = self._values(name) or [key.get(name) for key in self._deletions.values()]
            kind = kind_for(values) or (Kind.TEXT if name in self._extra else None)
            if kind is not None and name in self._options.types:
                kind = _KINDS_OF_TYPED[self._options.types[name]]
            elif kind is not None and not self._makeable.has_fit(kind, values):
                kind = None  # a column's type is not for a value to say that is not to be in it
            if self._options.raw and name in {"key", "value"}:
                kind = Kind.TEXT if self._target.text_takes_bytes else Kind.BYTES
            if kind is not None:
                kinds[name] = kind
                lower.add(name.lower())
        return kinds

    def _refuse_all(self) -> None:
        """Note why none of these rows is one: there is no table, and no value that a column could be made of."""
        rows: Sequence[Row | None] = self._rows
        if self._cells is not None:
            rows = [dict(zip(self._parsed.names, row, strict=True)) for row in self._cells]
        for index, row in enumerate(rows):
            if row is not None:
                self._problems.setdefault(index, self._makeable.why_no_row(row, self._pk_of_new()))

    def _values(self, name: str) -> Sequence[object]:
        """What the rows have that have a field."""
        if self._cells is None:
            return [row[name] for row in self._rows if row is not None and name in row]
        return self._cells.column(self._parsed.names.index(name)) if name in self._parsed.names else ()

    def _check_pk(self, schema: TableSchema) -> None:
        options = self._options
        if options.pk_is_offset:
            self._pk = ("topic", "partition", "offset")
        elif options.pk_is_key:
            self._pk = schema.pk or self._parsed.key_names
        elif not options.pk and options.mode != "insert":
            self._pk = schema.pk
        missing = [name for name in self._pk if name not in schema.columns]
        if missing:
            raise SinkError(f"table {self._table} has no column {missing[0]}, which --pk names")
        if options.mode == "insert":
            return
        if not self._pk:
            raise SinkError(f"table {self._table} has no primary key: say with --pk which columns tell rows apart")
        if frozenset(self._pk) not in schema.unique:
            raise SinkError(
                f"table {self._table} has no primary key and no unique index over {', '.join(self._pk)}, which --"
                f"{options.mode} needs: make one (CREATE UNIQUE INDEX), or name the columns that have one with --pk"
            )

    # ----------------------------------------------------------------------------------------------------- the groups

    def _grouped(self, schema: TableSchema) -> list[Group]:
        """The rows by the columns that they have, without those that have a problem by their fields."""
        if self._cells is not None:
            return [self._group_of_all(self._cells, schema)]
        by_shape: dict[tuple[str, ...], list[int]] = {}
        for index, row in enumerate(self._rows):
            if row is not None:
                by_shape.setdefault(tuple(row), []).append(index)
        columns: dict[tuple[str, ...], list[int]] = {}
        for shape, origin in by_shape.items():
            names = self._usable(shape, origin, schema)
            columns.setdefault(tuple(sorted(names)) if len(by_shape) > 1 else names, []).extend(origin)
        if len(columns) > 1 and self._options.mode != "upsert":
            columns = self._filled(columns, schema)
        groups = []
        for names, origin in columns.items():
            good = sorted(origin) if len(by_shape) > 1 else origin
            if self._problems:
                good = [index for index in good if index not in self._problems]
            groups.append(Group(names, good, self._tuples(names, good)))
        return groups

    def _group_of_all(self, cells: Cells, schema: TableSchema) -> Group:
        shape, every = self._parsed.names, range(len(cells))
        names = self._usable(shape, every, schema)
        rows: Sequence[tuple[object, ...]] = cells
        if names != shape:
            columns = [cells.column(shape.index(name)) for name in names]
            rows = Cells.of(columns) if columns else [()] * len(cells)
        if not self._problems:
            return Group(names, every, rows)
        good = [index not in self._problems for index in every]
        return Group(names, list(compress(every, good)), list(compress(rows, good)))

    def _usable(self, shape: tuple[str, ...], origin: Sequence[int], schema: TableSchema) -> tuple[str, ...]:
        """Those of a row's fields that have a column. A value without one is a problem; a null without one is not."""
        names = shape
        if self._options.columns:
            wanted = {*self._options.columns, *self._pk}
            names = tuple(name for name in names if name in wanted)
        usable = []
        for name in names:
            column = schema.columns.get(name)
            if column is not None and not column.is_generated and name not in self._extra:
                usable.append(name)
                continue
            if self._cells is None:
                values: Sequence[object] = [row[name] for row in map(self._rows.__getitem__, origin) if row is not None]
            else:
                values = self._values(name)
            for index, value in zip(origin, values, strict=True):
                if value is not None and index not in self._problems:
                    # What could have made the column itself is told first.
                    unfit = self._makeable.why_unfit(value) if column is None and self._may_add(name, schema) else None
                    self._problems[index] = Problem(unfit or self._why_not(name, schema), name)
        return tuple(usable)

    def _why_not(self, name: str, schema: TableSchema) -> str:
        if name in self._extra:
            return f"the field {name} has the name of a column of --with or --pk"
        if name in schema.columns:
            return f"the column {name} of table {self._table} is a generated one"
        for other in schema.columns:
            if other.lower() == name.lower():
                return f"the field {name} differs from the column {other} of table {self._table} only in case"
        forbidden = self._target.check_name(name)
        if forbidden is not None:
            return f"the field {name!r} can't be a column: {forbidden}"
        if len(schema.columns) >= self._target.max_columns:
            return (
                f"table {self._table} has {len(schema.columns)} columns, which is all it can have: {name} is too many"
            )
        return f"table {self._table} has no column {name}. Try using --alter to add it, or --columns to leave it out"

    def _filled(
        self, columns: dict[tuple[str, ...], list[int]], schema: TableSchema
    ) -> dict[tuple[str, ...], list[int]]:
        """Fewer groups for new rows: a column that a row lacks is NULL then, if it has no DEFAULT of its own."""
        names: dict[str, None] = {}
        for shape in columns:
            names |= dict.fromkeys(shape)
        with_default = {name for name in names if schema.columns[name].has_default}
        filled: dict[tuple[str, ...], list[int]] = {}
        for shape, origin in columns.items():
            has = set(shape)
            full = tuple(name for name in names if name in has or name not in with_default)
            filled.setdefault(full, []).extend(origin)
        return filled

    def _tuples(self, names: tuple[str, ...], origin: Sequence[int]) -> list[tuple[object, ...]]:
        rows: Sequence[Row | None] = self._rows
        if len(origin) < len(rows):
            rows = [self._rows[index] for index in origin]
        if len(names) > 1:
            try:
                return list(map(itemgetter(*names), rows))  # type: ignore[arg-type]
            except KeyError:
                pass  # some of these columns are to be NULL
        return [tuple(map(row.get, names)) for row in rows if row is not None]

    # ------------------------------------------------------------------------------------------------------- the cells

    def _fitted(self, group: Group, schema: TableSchema) -> Group:
        """A group whose values can be bound, with the columns of --with, without the rows that have a problem."""
        extra = list(self._extra)
        names = (*group.columns, *extra)
        if not group.rows:
            return Group(names, (), [])
        every = len(group.origin) == len(self._rows if self._cells is None else self._cells)
        columns = columns_of(group.rows)
        changed = bool(extra)
        for name in extra:
            values = self._extra[name]
            columns.append(values if every else [values[index] for index in group.origin])
        bad: set[int] = set()
        for number, name in enumerate(names):
            fitted, unfit = self._fit(name, columns[number], schema)
            changed |= fitted is not columns[number]
            columns[number] = fitted
            if unfit:
                bad |= self._unfit(name, unfit, group.origin)
        for name in self._pk:
            if name not in names:
                bad |= self._unfit(name, dict.fromkeys(range(len(group.rows)), "it is missing"), group.origin, pk=True)
            elif None in (values := columns[names.index(name)]):
                missing = {index: "it is null" for index, value in enumerate(values) if value is None}
                bad |= self._unfit(name, missing, group.origin, pk=True)
        rows = Cells.of(columns) if changed else group.rows
        if not bad:
            return Group(names, group.origin, rows)
        good = [index not in bad for index in range(len(rows))]
        return Group(names, list(compress(group.origin, good)), list(compress(rows, good)))

    def _fit(self, name: str, values: Sequence[object], schema: TableSchema) -> tuple[Sequence[object], dict[int, str]]:
        kind = schema.columns[name].kind if name in schema.columns else Kind.ANY
        seen = self._seen(name, values)
        if seen.types & {dict, list} or (float in seen.types and kind not in DOUBLES):
            self._keeps_digits = True
        if kind is Kind.TEXT and self._target.text_takes_bytes and bytes in seen.types:
            kind = Kind.ANY
        untyped: dict[int, str] = {}
        if name in self._options.types:
            values, untyped = typed(self._options.types[name], values, kind)
            seen = Seen(values)
        column = schema.columns.get(name)
        if column is not None and column.element is not None:
            values, no_arrays = fit_arrays(values, column)
            untyped |= no_arrays
            seen = Seen(values)
        fitted, unfit = self._makeable.fit(kind, values, seen)
        unfit |= untyped
        if column is not None and column.is_limited and column.element is None:
            cut = cut_values(fitted, column)
            if cut:
                unfit |= cut
                fitted = [None if index in cut else value for index, value in enumerate(fitted)]
        return fitted, unfit

    def _seen(self, name: str, values: Sequence[object]) -> Seen:
        """What is known of a column: of a field of ``cells`` it is known by now."""
        if self._cells is None or name in self._extra or name not in self._parsed.names:
            return Seen(values)
        return self._parsed.seen[self._parsed.names.index(name)]

    def _unfit(self, name: str, unfit: Mapping[int, str], origin: Sequence[int], *, pk: bool = False) -> set[int]:
        """Note values that don't fit; the rows, by their numbers in the group, that are none for it."""
        bad: set[int] = set()
        for index, reason in unfit.items():
            problem = Problem(reason, name)
            if self._options.errors == "null" and not pk and name not in self._pk:
                self._nulled.append((origin[index], problem))
            else:
                self._problems.setdefault(origin[index], problem)
                bad.add(index)
        return bad

    def _fitted_deletions(self, schema: TableSchema) -> Group:
        rows: list[tuple[object, ...]] = []
        origin: list[int] = []
        for index, key in self._deletions.items():
            if set(key) != set(self._pk):
                self._problems[index] = Problem(
                    f"the key has not the columns of the primary key: {', '.join(self._pk)}"
                )
                continue
            rows.append(tuple(key[name] for name in self._pk))
            origin.append(index)
        extra, self._extra = self._extra, {}
        try:
            return self._fitted(Group(self._pk, origin, rows), schema)
        finally:
            self._extra = extra
