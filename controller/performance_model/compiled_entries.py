"""What compiled code needs beside the rules: its entry, and tables without an owner. Needs numba.

numba counts the references to arrays; with a dozen tables handed from function to function the atomic additions would
take three quarters of a simulation. A `Lent` table is an address and a size; the caller keeps the array alive.
"""

# numba's decorators have no types of their own.
# pyright: reportOptionalCall=false, reportUntypedClassDecorator=false, reportCallIssue=false, reportPrivateImportUsage=false
from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing import signature
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model

from controller.performance_model.pod_events import advance
from controller.performance_model.pod_state import State


class Lent(types.Type):
    """A table of records or numbers, indexed from 0, without bounds checks."""

    def __init__(self, item: Any) -> None:
        self.item = item
        super().__init__(f"Lent({item})")


@register_model(Lent)
class LentModel(models.StructModel):
    """An address and a number of items."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, [("data", types.voidptr), ("size", types.intp)])


@infer_global(operator.getitem)
class LentGet(AbstractTemplate):
    """`table[k]`."""

    def generic(self, args: Any, kws: Any) -> Any:
        """Type it."""
        del kws
        table, index = args
        if isinstance(table, Lent) and isinstance(index, types.Integer):
            return signature(table.item, table, types.intp)
        return None


@infer_global(operator.setitem)
class LentSet(AbstractTemplate):
    """`table[k] = number`."""

    def generic(self, args: Any, kws: Any) -> Any:
        """Type it."""
        del kws
        table, index, _ = args
        if isinstance(table, Lent) and isinstance(index, types.Integer):
            return signature(types.none, table, types.intp, table.item)
        return None


@infer_global(len)
class LentLen(AbstractTemplate):
    """`len(table)`."""

    def generic(self, args: Any, kws: Any) -> Any:
        """Type it."""
        del kws
        return signature(types.intp, args[0]) if isinstance(args[0], Lent) else None


def _address(context: Any, builder: Any, kind: Any, table: Any, index: Any) -> Any:
    struct = cgutils.create_struct_proxy(kind)(context, builder, value=table)
    size = context.get_abi_sizeof(context.get_data_type(kind.item))
    offset = builder.mul(index, ir.Constant(index.type, size))
    return cgutils.pointer_add(builder, struct.data, offset)


@lower_builtin(operator.getitem, Lent, types.intp)
def _get(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    address = _address(context, builder, kind, *args)
    if isinstance(kind.item, types.Record):
        return builder.bitcast(address, context.get_value_type(kind.item))
    return context.unpack_value(
        builder, kind.item, builder.bitcast(address, context.get_data_type(kind.item).as_pointer())
    )


@lower_builtin(operator.setitem, Lent, types.intp, types.Any)
def _set(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    address = _address(context, builder, kind, args[0], args[1])
    context.pack_value(
        builder, kind.item, args[2], builder.bitcast(address, context.get_data_type(kind.item).as_pointer())
    )
    return context.get_dummy_value()


@lower_builtin(len, Lent)
def _len(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return cgutils.create_struct_proxy(sig.args[0])(context, builder, value=args[0]).size


@intrinsic
def lend(typing_context: Any, array: Any) -> Any:
    """Return an array as a `Lent` table."""
    del typing_context

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        owned = context.make_array(sig.args[0])(context, builder, args[0])
        lent = cgutils.create_struct_proxy(sig.return_type)(context, builder)
        lent.data = builder.bitcast(owned.data, lent.data.type)
        lent.size = owned.nitems
        return lent._getvalue()  # noqa: SLF001  numba's own way

    return Lent(array.dtype)(array), generate


def advance_compiled(state: State, until_s: float, is_to_end: bool) -> int:  # noqa: FBT001
    """See `pod_events.advance`."""
    lent = State(
        lend(state.now),
        lend(state.limits),
        lend(state.scaler),
        lend(state.buckets),
        lend(state.wishes),
        lend(state.requests),
        lend(state.joined),
        lend(state.joined_pod),
        lend(state.batches),
        lend(state.pods),
        lend(state.living),
        lend(state.members),
        lend(state.ready),
        lend(state.jobs),
        lend(state.jobs_order),
        lend(state.by_size),
        lend(state.noise),
    )
    return advance(lent, until_s, is_to_end)
