"""Counts the store calls that this process makes, and kills it before or after one of them."""

from __future__ import annotations

import functools
import os
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from deltalake.table import TableAlterer

from imgbatch.dataset import delta
from imgbatch.storage.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VERBS = (
    *("folders", "files", "head", "get", "get_range", "open"),
    *("put", "put_file", "put_once", "replace", "delete"),
)


@dataclass
class Calls:
    """Counts store calls, and kills this process before or after one of them."""

    at: int
    when: str
    count: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = threading.local()

    def watch(self) -> None:
        for verb in VERBS:
            setattr(LocalStore, verb, self._counted(getattr(LocalStore, verb)))
        listed = LocalStore.list

        def whole(store: LocalStore, prefix: str = "") -> Iterator[Any]:
            return iter(list(listed(store, prefix)))

        LocalStore.list = self._counted(whole)  # type: ignore[method-assign] # a test's hook
        create = delta.create_table_with_add_actions
        delta.create_table_with_add_actions = self._counted(create)
        commit = DeltaTable.create_write_transaction
        DeltaTable.create_write_transaction = self._counted(commit)  # type: ignore[method-assign] # the same
        TableAlterer.add_columns = self._counted(TableAlterer.add_columns)  # type: ignore[method-assign] # the same

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def counted(*args: Any, **named: Any) -> Any:
            if getattr(self._inside, "call", False):  # a verb that another verb is made of
                return call(*args, **named)
            with self._lock:
                self.count += 1
                mine = self.count == self.at
            if mine and self.when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            self._inside.call = True
            try:
                return call(*args, **named)
            finally:
                self._inside.call = False
                if mine:
                    os.kill(os.getpid(), signal.SIGKILL)

        return counted
