"""Range, private and history queries as a peer answers its chaincode: in batches, or page by page.

Source: Fabric 2.5.9 core/chaincode/query_response_generator.go. After a full batch one more result has been fetched
already, so that the recorded range reaches one key further: other endorsers record the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fabric_protos.ledger.queryresult import kv_query_result_pb2
from fabric_protos.peer import chaincode_shim_pb2

from .errors import SimulationFailed
from .ledger import Modification
from .simulation import PrivateScan, RangeScan

BATCH = 100
TOTAL_LIMIT = 100_000
Next = Callable[[], bytes | None]
"""The next serialised result, None at the end."""


class Queries:
    """A transaction's open queries, by id."""

    def __init__(self) -> None:
        self._open: dict[str, _Query] = {}
        self._count = 0

    def start(self, following: Next) -> Any:
        """Begin a query; its first `QueryResponse`."""
        self._count += 1
        identifier = str(self._count)
        self._open[identifier] = _Query(following)
        return self.more(identifier)

    def more(self, identifier: str) -> Any:
        """The next `QueryResponse`. Raises: SimulationFailed."""
        query = self._open.get(identifier)
        if query is None:
            raise SimulationFailed("query iterator not found")
        response = chaincode_shim_pb2.QueryResponse(id=identifier)
        if query.held is not None:
            response.results.add(resultBytes=query.held)
            query.held = None
        for _ in range(TOTAL_LIMIT):
            result = query.following()
            if result is None:
                del self._open[identifier]
                return response
            if len(response.results) == BATCH:
                query.held = result
                response.has_more = True
                return response
            response.results.add(resultBytes=result)
        return response

    def close(self, identifier: str) -> Any:
        """End a query."""
        self._open.pop(identifier, None)
        return chaincode_shim_pb2.QueryResponse(id=identifier)


class _Query:
    def __init__(self, following: Next) -> None:
        self.following = following
        self.held: bytes | None = None


def page(scan: RangeScan, following: Next, size: int) -> Any:
    """One page of a paginated query."""
    response = chaincode_shim_pb2.QueryResponse()
    while len(response.results) < size:
        result = following()
        if result is None:
            break
        response.results.add(resultBytes=result)
    metadata = chaincode_shim_pb2.QueryResponseMetadata(
        fetched_records_count=len(response.results), bookmark=scan.bookmark()
    )
    response.metadata = metadata.SerializeToString()
    return response


def state_results(scan: RangeScan | PrivateScan, namespace: str) -> Next:
    """`queryresult.KV`s."""

    def following() -> bytes | None:
        item = scan.next()
        if item is None:
            return None
        encoded: bytes = kv_query_result_pb2.KV(namespace=namespace, key=item[0], value=item[1]).SerializeToString()
        return encoded

    return following


def history_results(found: Iterator[Modification]) -> Next:
    """`queryresult.KeyModification`s."""

    def following() -> bytes | None:
        item = next(found, None)
        if item is None:
            return None
        message = kv_query_result_pb2.KeyModification(
            tx_id=item.transaction_id, value=item.value, is_delete=item.is_delete
        )
        message.timestamp.seconds, message.timestamp.nanos = item.timestamp
        encoded: bytes = message.SerializeToString()
        return encoded

    return following
