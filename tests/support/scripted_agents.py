"""The agents of both frameworks in their own loops, with a model that follows a script.

A script is a list of steps, each a function of what the tools have answered so far: it returns the
name of a tool and its arguments, or the agent's last word.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

Call = tuple[str, dict[str, Any]]
Step = Callable[[list[str]], Call | str]


class Outcome(NamedTuple):
    """What came of a run: the last word, what the tools answered, and which answers were errors."""

    said: str
    answers: list[str]
    errors: list[bool]


def _langchain(awaited: bool) -> Callable[[list[Any], list[Step]], Outcome]:
    def run(tools: list[Any], script: list[Step]) -> Outcome:
        agents = pytest.importorskip("langchain.agents")
        messages = pytest.importorskip("langchain_core.messages")
        models = pytest.importorskip("langchain_core.language_models")
        steps = iter(script)

        class Scripted(models.GenericFakeChatModel):
            def bind_tools(self, tools, **_):
                assert all(tool.tool_call_schema.model_json_schema() for tool in tools)
                return self

            def _generate(self, history, *_, **__):
                answered = [one.content for one in history if one.type == "tool"]
                said = next(steps)(answered)
                calls = []
                if not isinstance(said, str):
                    name, arguments = said
                    calls = [{"name": name, "args": arguments, "id": f"call-{len(answered)}"}]
                reply = messages.AIMessage(said if isinstance(said, str) else "", tool_calls=calls)
                outputs = pytest.importorskip("langchain_core.outputs")
                return outputs.ChatResult(generations=[outputs.ChatGeneration(message=reply)])

        agent = agents.create_agent(Scripted(messages=iter(())), tools)
        question = {"messages": [{"role": "user", "content": "Go."}]}
        state = asyncio.run(agent.ainvoke(question)) if awaited else agent.invoke(question)
        answers = [one for one in state["messages"] if one.type == "tool"]
        return Outcome(
            state["messages"][-1].content,
            [one.content for one in answers],
            [one.status == "error" for one in answers],
        )

    return run


def _llama_index(react: bool) -> Callable[[list[Any], list[Step]], Outcome]:
    def run(tools: list[Any], script: list[Step]) -> Outcome:
        workflow = pytest.importorskip("llama_index.core.agent.workflow")
        llms = pytest.importorskip("llama_index.core.llms")
        steps = iter(script)
        results: list[Any] = []

        def reply(*_, **__):
            said = next(steps)([str(result.tool_output.content) for result in results])
            if isinstance(said, str):
                text = f"Thought: I can answer.\nAnswer: {said}" if react else said
                return llms.ChatMessage(role="assistant", content=text)
            name, arguments = said
            if react:
                text = f"Thought: look.\nAction: {name}\nAction Input: {json.dumps(arguments)}"
                return llms.ChatMessage(role="assistant", content=text)
            call = {"tool_call_id": f"call-{len(results)}", "tool_name": name}
            block = {"block_type": "tool_call", **call, "tool_kwargs": arguments}
            return llms.ChatMessage(role="assistant", blocks=[block])

        async def drive():
            kind = workflow.ReActAgent if react else workflow.FunctionAgent
            model = llms.MockFunctionCallingLLM(response_generator=reply)
            handler = kind(tools=tools, llm=model, streaming=False).run(user_msg="Go.")
            async for event in handler.stream_events():
                results.extend([event] if isinstance(event, workflow.ToolCallResult) else [])
            return str(await handler)

        said = asyncio.run(drive())
        return Outcome(
            said,
            [str(result.tool_output.content) for result in results],
            [result.tool_output.is_error for result in results],
        )

    return run


LOOPS = {
    "langchain": _langchain(awaited=False),
    "langchain_async": _langchain(awaited=True),
    "llama_index_functions": _llama_index(react=False),
    "llama_index_react": _llama_index(react=True),
}
