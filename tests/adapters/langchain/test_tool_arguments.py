"""What models pass to the tools, and what programmers do."""

import pytest
from pydantic import ValidationError
from support.agent_answers import fenced, whole, without_mark

from oss_vector_retriever.langchain import OSSVectorFetchTool, OSSVectorToolkit


@pytest.fixture
def places(client, put):
    put(["a/north", "a/east"])
    return client


def asked(tool, **arguments):
    call = {"name": tool.name, "args": arguments, "id": "1", "type": "tool_call"}
    return tool.invoke(call)


def test_an_id_that_cannot_be_a_key_is_missing_and_no_error(places):
    assert 'Not found: ""' in asked(OSSVectorFetchTool(client=places), ids=[""]).content


def test_a_single_id_is_a_list_of_one_and_too_many_are_refused(places):
    tool = OSSVectorFetchTool(client=places)
    assert "text of a/east" in asked(tool, ids="a/east").content
    with pytest.raises(ValidationError, match="at most 100"):
        asked(tool, ids=["x"] * 101)
    with pytest.raises(ValidationError):
        asked(tool, ids=[])


@pytest.mark.parametrize("written", ['["a/east", "gone"]', ["a/east", "gone"]])
def test_a_list_written_as_text_is_read_as_the_list(places, written):
    content = asked(OSSVectorFetchTool(client=places), ids=written).content
    assert without_mark(content) == whole(
        fenced("a/east", "text of a/east"), notes='Not found: "gone"'
    )


def test_ids_that_look_like_numbers_may_come_as_numbers(client, put):
    put(["7", "[1"])
    tool = OSSVectorFetchTool(client=client)
    assert without_mark(asked(tool, ids=[7]).content) == whole(fenced("7", "text of 7"))
    assert without_mark(asked(tool, ids="[1").content) == whole(fenced("[1", "text of [1"))


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": 101}, {"scan": -1}, {"max_characters": 0}])
def test_impossible_settings_of_a_toolkit_are_refused(client, wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        OSSVectorToolkit(client=client, **wrong)


def test_the_schema_tells_a_model_what_to_pass(places):
    schema = OSSVectorFetchTool(client=places).tool_call_schema.model_json_schema()
    assert schema["properties"]["ids"]["items"] == {"type": "string"}
    assert set(schema["required"]) == {"ids"}
