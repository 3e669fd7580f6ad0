"""Flows around flows: many lookups in few calls, and no more calls at once than a run allows."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Concatenate, ParamSpec, TypeVar

from .coalesce import shared_calls
from .context import Context, Flow
from .steps import (
    Acquire,
    Begin,
    Call,
    Coalesce,
    RunAll,
    Running,
    Send,
    Sleep,
    Step,
    do_steps,
    run_all,
)

P = ParamSpec("P")
T = TypeVar("T")
Input = TypeVar("Input")


def limit_concurrency(
    context: Context,
    limit: int | None,
    flow: Callable[Concatenate[Context, P], Flow[T]],
    /,
    *arguments: P.args,
    **keywords: P.kwargs,
) -> Flow[T]:
    """Do what `flow(context, *arguments, **keywords)` does, with few of its calls in progress.

    `limit` is how many, such as the `max_concurrency` of a run; None leaves it to the client.
    """
    inner = flow(context, *arguments, **keywords)
    return inner if limit is None else _with_lanes(max(limit, 1), inner)


def run_together(
    context: Context, flow: Callable[..., Flow[T]], inputs: Iterable[Input], /, **keywords: Any
) -> Flow[list[T | Exception]]:
    """Run `flow(context, input, **keywords)` for each input, all at once.

    What they fetch at the same time shares calls. Each result is that of the flow of its input, or
    what it raised: one does not end the others.
    """
    sharing = context if context.config.coalesce else context.with_options(coalesce=True)
    runs = [Running(_outcome_of(flow, sharing, each, keywords)) for each in inputs]
    while waiting := [run for run in runs if run.step is not None]:
        yield from _do_one_step(waiting)
    return [run.result for run in runs]


def _outcome_of(
    flow: Callable[..., Flow[T]], context: Context, each: object, keywords: dict[str, Any]
) -> Flow[T | Exception]:
    # what the flow returns or raises; it is made here, for it may refuse its arguments when made
    try:
        return (yield from flow(context, each, **keywords))
    except Exception as error:  # noqa: BLE001 - it is raised where the flow's result is used
        return error


def _do_one_step(runs: Sequence[Running[Any]]) -> Flow[None]:
    # the parts of a flow that runs several run next to the others, not within it: threads that wait
    # for threads of the same pool could wait for ever
    parts = {run: run.step.flows for run in runs if isinstance(run.step, RunAll)}
    fetches = {run: run.step.pending for run in runs if isinstance(run.step, Coalesce)}
    alone = [_do_own_steps(run) for run in runs if run not in parts and run not in fetches]
    flat = [_outcome(flow) for flows in parts.values() for flow in flows]
    calls = shared_calls(fetches.values())
    made: list[Flow[Any]] = [shared.outcome() for shared in calls]
    answered = yield from run_all([*flat, *alone, *made])
    results = iter(answered)
    for run, flows in parts.items():
        answers = list(islice(results, len(flows)))
        error = next((answer for answer in answers if isinstance(answer, Exception)), None)
        if error is None:
            run.tell(answers)
        else:
            run.throw(error)
    # settled here, not where they were made: a fetch that two calls serve is changed by one thread
    outcomes = answered[len(answered) - len(calls) :]
    while calls := [
        half
        for shared, outcome in zip(calls, outcomes, strict=True)
        for half in shared.settle(outcome)
    ]:
        outcomes = yield from run_all([shared.outcome() for shared in calls])
    for run in fetches:
        run.tell(None)


def _outcome(flow: Flow[T]) -> Flow[T | Exception]:
    # an error that was raised here would end the other flows (run_all)
    try:
        return (yield from flow)
    except Exception as error:  # noqa: BLE001 - the flow that asked for it decides
        return error


def _do_own_steps(run: Running[Any]) -> Flow[None]:
    # those that are for it alone
    while isinstance(run.step, Send | Sleep | Call | Begin | Acquire):
        try:
            answer = yield run.step
        except BaseException as error:  # noqa: BLE001 - the flow decides
            run.throw(error)
        else:
            run.tell(answer)


def _with_lanes(limit: int, flow: Flow[T]) -> Flow[T]:
    # what the flow does; where it runs more than `limit` flows together, they queue up
    def do(step: Step) -> Flow[Any]:
        if isinstance(step, RunAll) and len(step.flows) > limit:
            return (yield from _run_in_lanes(limit, step.flows))
        return (yield step)

    return do_steps(flow, do)


def _run_in_lanes(limit: int, flows: Sequence[Flow[T]]) -> Flow[list[T]]:
    results: dict[int, T] = {}
    waiting = deque(enumerate(flows))  # safe for the threads that share it

    def lane() -> Flow[None]:
        while waiting:
            try:
                position, flow = waiting.popleft()
            except IndexError:  # another lane took the last one
                return
            results[position] = yield from flow

    yield from run_all([lane() for _ in range(limit)])
    return [results[position] for position in range(len(flows))]
