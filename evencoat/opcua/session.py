"""What somebody who is logged in may do. asyncua looks at a node's access level; all else is looked at here:

- Subscriptions are told apart by a number counted up, and anybody may change or delete another's: here only one's own.
- Intervals down to nothing, queues without end, filters that call themselves: bounded or refused here.
- A value that is written goes to the desk and nowhere else, and so does each call. The node changes when the line has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.internal_session import InternalSession

from evencoat.opcua.people import People, Refusals

if TYPE_CHECKING:
    from evencoat.opcua.requests import Requests


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one session, unless it says otherwise."""

    interval_ms: tuple[float, float] = (100.0, 60_000.0)  # between two notifications of a subscription
    subscriptions_most: int = 8
    items_most: int = 200  # monitored in one subscription
    queue_most: int = 600  # values that wait in one item: a minute of cycles
    nodes_most: int = 500  # in one request to read or browse
    writes_most: int = 20  # in one request to write, to call, or to read history
    filter_most: int = 8  # elements of an event filter's where clause


@dataclass(frozen=True, slots=True)
class Line:
    """What all sessions of a server share. folder: own certificate and those that are trusted."""

    people: People
    refusals: Refusals
    requests: Requests
    folder: Path
    bounds: Bounds = Bounds()


class Session(InternalSession):
    """One connection's session."""

    def __init__(self, inside: Any, peer: Any, line: Line) -> None:
        super().__init__(inside, inside.aspace, inside.subscription_service, peer, external=True)
        self._line, self._bounds = line, line.bounds
        self._peer = str(peer[0]) if peer else "a socket"

    # --- values and calls ---

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        """Values, as they are now."""
        _at_most(params.NodesToRead, self._bounds.nodes_most)
        return await super().read(params)

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        """Ask the desk for each value, one after the other."""
        _at_most(params.NodesToWrite, self._bounds.writes_most)
        return [await self._written(one) for one in params.NodesToWrite]

    async def _written(self, one: ua.WriteValue) -> ua.StatusCode:
        requests = self._line.requests
        if one.NodeId not in self.aspace:
            return ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown)
        if one.AttributeId != ua.AttributeIds.Value or not requests.writable(one.NodeId):
            self._refuse(f"write to {_named(one.NodeId)}, which nobody may")
            return ua.StatusCode(ua.StatusCodes.BadNotWritable)
        given = one.Value
        spoilt = given.StatusCode is not None and not given.StatusCode.is_good()
        if one.IndexRange or spoilt or given.Value is None or given.Value.Value is None:
            return ua.StatusCode(ua.StatusCodes.BadWriteNotSupported)
        return await requests.write(self.user.name or "", one.NodeId, given.Value)

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Ask the desk, one call after the other."""
        _at_most(params, self._bounds.writes_most)
        return [await self._called(one) for one in params]

    async def _called(self, one: ua.CallMethodRequest) -> ua.CallMethodResult:
        if not self._line.requests.callable(one.ObjectId, one.MethodId):
            self._refuse(f"call of {_named(one.MethodId)}, which there is not")
            return ua.CallMethodResult(StatusCode=ua.StatusCode(ua.StatusCodes.BadMethodInvalid))
        return await self._line.requests.call(self.user.name or "", one.MethodId, one.InputArguments or [])

    async def browse(self, params: ua.BrowseParameters) -> list[ua.BrowseResult]:
        """What is below nodes."""
        _at_most(params.NodesToBrowse, self._bounds.nodes_most)
        return await super().browse(params)

    async def translate_browsepaths_to_nodeids(self, params: list[ua.BrowsePath]) -> list[ua.BrowsePathResult]:
        """Nodes by their path."""
        _at_most(params, self._bounds.nodes_most)
        if not all(path.RelativePath.Elements for path in params):
            raise ServiceError(ua.StatusCodes.BadBrowseNameInvalid)
        return await super().translate_browsepaths_to_nodeids(params)

    async def history_read(self, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        """What the journal has."""
        _at_most(params.NodesToRead, self._bounds.writes_most)
        if not isinstance(params.HistoryReadDetails, ua.ReadRawModifiedDetails):
            raise ServiceError(ua.StatusCodes.BadHistoryOperationUnsupported)
        return await super().history_read(params)

    # --- subscriptions ---

    async def create_subscription(
        self, params: ua.CreateSubscriptionParameters, callback: Any, request_callback: Any = None
    ) -> ua.CreateSubscriptionResult:
        """One more, no faster than bounded."""
        if len(list(self._own())) >= self._bounds.subscriptions_most:
            raise ServiceError(ua.StatusCodes.BadTooManySubscriptions)
        low, high = self._bounds.interval_ms
        asked = params.RequestedPublishingInterval
        params.RequestedPublishingInterval = min(max(asked, low), high) if math.isfinite(asked) else low
        return await super().create_subscription(params, callback, request_callback)

    async def create_monitored_items(
        self, params: ua.CreateMonitoredItemsParameters
    ) -> list[ua.MonitoredItemCreateResult]:
        """More to be watched, in a subscription of one's own."""
        self._must_own([params.SubscriptionId])
        watched = self.subscription_service.subscriptions[params.SubscriptionId].monitored_item_srv
        if len(watched._monitored_items) + len(params.ItemsToCreate) > self._bounds.items_most:
            raise ServiceError(ua.StatusCodes.BadTooManyMonitoredItems)
        for item in params.ItemsToCreate:
            events = item.ItemToMonitor.AttributeId == ua.AttributeIds.EventNotifier
            self._must_be_plain(item.RequestedParameters.Filter, events)
        return await super().create_monitored_items(params)

    async def modify_monitored_items(
        self, params: ua.ModifyMonitoredItemsParameters
    ) -> list[ua.MonitoredItemModifyResult]:
        """Longer or shorter queues, within the bound. Another filter takes another item."""
        self._must_own([params.SubscriptionId])
        for item in params.ItemsToModify:
            asked = item.RequestedParameters
            if asked.Filter:  # an empty ExtensionObject, which is false, where there is none
                raise ServiceError(ua.StatusCodes.BadMonitoredItemFilterUnsupported)
            asked.QueueSize = ua.UInt32(min(max(asked.QueueSize, 1), self._bounds.queue_most))
        return await super().modify_monitored_items(params)

    async def delete_monitored_items(self, params: ua.DeleteMonitoredItemsParameters) -> list[ua.StatusCode]:
        """Less, in a subscription of one's own."""
        self._must_own([params.SubscriptionId])
        return await super().delete_monitored_items(params)

    async def set_monitoring_mode(self, params: ua.SetMonitoringModeParameters) -> list[ua.StatusCode]:
        """Of one's own."""
        self._must_own([params.SubscriptionId])
        return await super().set_monitoring_mode(params)

    async def set_publishing_mode(self, params: ua.SetPublishingModeParameters) -> list[ua.StatusCode]:
        """Of one's own."""
        self._must_own(params.SubscriptionIds)
        return await super().set_publishing_mode(params)

    def modify_subscription(self, params: ua.ModifySubscriptionParameters) -> ua.ModifySubscriptionResult:
        """Of one's own; asyncua tells what it is and changes nothing."""
        self._must_own([params.SubscriptionId])
        return super().modify_subscription(params)

    async def delete_subscriptions(self, ids: list[int]) -> list[ua.StatusCode]:
        """Of one's own."""
        self._must_own(ids)
        return await super().delete_subscriptions(ids)

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
        """Of one's own."""
        self._must_own([params.SubscriptionId])
        return super().republish(params)

    def publish(self, acks: Iterable[ua.SubscriptionAcknowledgement] | None = None) -> tuple[int, list[ua.StatusCode]]:
        """Acknowledge what came of one's own."""
        acks = list(acks or [])
        self._must_own([one.SubscriptionId for one in acks])
        return super().publish(acks)

    async def close_session(self, delete_subs: bool = True) -> None:
        """The end; nothing goes on without its session, whatever is asked for."""
        await super().close_session(True)

    # --- within ---

    def _own(self) -> Iterable[int]:
        subscriptions = self.subscription_service.subscriptions
        return (number for number, one in subscriptions.items() if one.session_id == self.session_id)

    def _must_own(self, numbers: Iterable[int]) -> None:
        """Raises for a subscription of somebody else; one that is over is asyncua's to tell of."""
        subscriptions = self.subscription_service.subscriptions
        for number in numbers:
            if number in subscriptions and subscriptions[number].session_id != self.session_id:
                self._refuse("subscription of another session")
                raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)

    def _must_be_plain(self, given: Any, events: bool) -> None:
        """Raises for a filter that asyncua would fail with at each change, or would take very long over."""
        if events:
            elements = given.WhereClause.Elements if isinstance(given, ua.EventFilter) else None
            plain = elements is not None and len(elements) <= self._bounds.filter_most and _leads_on(elements)
        else:
            plain = not given or (
                isinstance(given, ua.DataChangeFilter) and given.DeadbandType == ua.DeadbandType.None_
            )
        if not plain:
            raise ServiceError(ua.StatusCodes.BadMonitoredItemFilterUnsupported)

    def _refuse(self, what: str) -> None:
        self._line.refusals(self.user.name or "", self._peer, what)


def _leads_on(elements: Sequence[Any]) -> bool:
    """Whether each element of a where clause refers to later ones only, as the standard says."""
    return all(
        at < operand.Index < len(elements)
        for at, element in enumerate(elements)
        for operand in element.FilterOperands
        if isinstance(operand, ua.ElementOperand)
    )


def _at_most(asked: Sequence[Any] | None, most: int) -> None:
    if len(asked or ()) > most:
        raise ServiceError(ua.StatusCodes.BadTooManyOperations)


def _named(node: ua.NodeId) -> str:
    """A node's id, short enough for a record."""
    return str(node.to_string())[:80]
