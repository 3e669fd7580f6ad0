"""Many lookups in few calls, and no more calls at once than a run allows: flows around flows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, TypeVar

from oss_vector_retriever.client.coalesce import shared_calls
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.steps import (
    Call,
    Coalesce,
    Flow,
    RunAll,
    Running,
    Send,
    Sleep,
    run_all,
)

T = TypeVar("T")


def limit_concurrency(
    most: int | None, start: Callable[[Context], Flow[T]]
) -> Callable[[Context], Flow[T]]:
    """Return a flow that does what another does, with at most so many of its calls in progress.

    Args:
        most: the bound, such as `max_concurrency` of a run; None leaves it to the client.
        start: the other flow.
    """
    return start if most is None else lambda context: _narrowed(max(most, 1), start(context))


def run_together(
    starts: Sequence[Callable[[Context], Flow[T]]],
) -> Callable[[Context], Flow[list[T | Exception]]]:
    """Return a flow that runs others together: what they fetch at the same time shares calls.

    Each result is that of the flow in its place, or what it raised: one does not end the others.
    """

    def run(context: Context) -> Flow[list[T | Exception]]:
        merging = context if context.config.coalesce else context.changed(coalesce=True)
        runs = [Running(_outcome(_started(start, merging))) for start in starts]
        while waiting := [one for one in runs if one.step is not None]:
            yield from _round(waiting)
        return [one.result for one in runs]

    return run


def _started(start: Callable[[Context], Flow[T]], context: Context) -> Flow[T]:
    # what refuses the arguments does so inside the flow, as what came of it
    return (yield from start(context))


def _outcome(flow: Flow[T]) -> Flow[T | Exception]:
    """Do what a flow does, and return what it raised in the place of its result."""
    try:
        return (yield from flow)
    except Exception as error:  # noqa: BLE001 - it is raised where the flow's result is wanted
        return error


def _alone(run: Running[Any]) -> Flow[None]:
    """Do the steps that are for one flow alone."""
    while isinstance(run.step, Send | Sleep | Call):
        try:
            answer = yield run.step
        except BaseException as error:  # noqa: BLE001 - the flow decides
            run.throw(error)
        else:
            run.tell(answer)


def _tell_parts(run: Running[Any], parts: Sequence[Any]) -> None:
    """Go on with a flow, with the results of the parts that it asked for together."""
    wrong = next((part for part in parts if isinstance(part, Exception)), None)
    if wrong is None:
        run.tell(list(parts))
    else:
        run.throw(wrong)


def _round(runs: Sequence[Running[Any]]) -> Flow[None]:
    """Do one step of each flow, all at once; parts of parts would wait for their own threads."""
    parts = {run: run.step.flows for run in runs if isinstance(run.step, RunAll)}
    joined = {run: run.step.pending for run in runs if isinstance(run.step, Coalesce)}
    alone = [_alone(run) for run in runs if run not in parts and run not in joined]
    flat = [_outcome(flow) for flows in parts.values() for flow in flows]
    calls = [shared.made() for shared in shared_calls(joined.values())]
    results = iter((yield from run_all([*flat, *alone, *calls])))
    for run, flows in parts.items():
        _tell_parts(run, list(islice(results, len(flows))))
    for run in joined:
        run.tell(None)


def _narrowed(most: int, flow: Flow[T]) -> Flow[T]:
    run = Running(flow)
    while (step := run.step) is not None:
        try:
            if isinstance(step, RunAll) and len(step.flows) > most:
                answer = yield from _in_lanes(most, step.flows)
            else:
                answer = yield step
        except BaseException as error:  # noqa: BLE001 - the flow decides
            run.throw(error)
        else:
            run.tell(answer)
    return run.result


def _in_lanes(most: int, flows: Sequence[Flow[T]]) -> Flow[list[T]]:
    results: dict[int, T] = {}
    waiting = deque(enumerate(flows))  # safe for the threads that share it

    def lane() -> Flow[None]:
        while waiting:
            try:
                place, flow = waiting.popleft()
            except IndexError:
                return
            results[place] = yield from flow

    yield from run_all([lane() for _ in range(most)])
    return [results[place] for place in range(len(flows))]
