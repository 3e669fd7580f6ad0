"""The tools of both frameworks tell an agent the same, in the same words."""

import re

import pytest
from support.agent_answers import fenced, read_answer, whole, without_mark
from support.agent_tools import FACES


@pytest.fixture(params=FACES)
def ask(request, client):
    """Give a function: ids and the tool's settings in, the answer out."""
    make, call = FACES[request.param]
    return lambda ids, **options: call(make(client, **options), ids)


def test_texts_come_with_their_ids_in_the_order_asked_each_once(ask, put, service):
    put(["a", "b", "c"])
    answer = ask(["c", "a", "c"])
    assert re.findall(r"text of (\w)", answer) == ["c", "a"]
    assert [document.id for document in read_answer(answer).documents] == ["c", "a"]
    assert service.gets == [["c", "a"]]


def test_one_id_may_come_without_a_list(ask, put):
    put(["only"])
    assert "text of only" in ask("only")


def test_what_is_missing_is_named(ask, put):
    put(["a"])
    answer = ask(["gone", "a"])
    assert "gone" in answer
    assert "text of a" in answer


def test_an_impossible_id_is_missing_and_hides_nothing(ask, put):
    put(["a"])
    answer = ask(["x" * 1025, "a"])
    assert "xxx" in answer
    assert "text of a" in answer


def test_near_misses_are_suggested_from_a_bounded_scan_where_asked(ask, put):
    put(["report-2024", "letter"])
    assert "report-2024" not in ask(["Report_2024"])
    assert "report-2024" in ask(["Report_2024"], scan=10)
    assert "letter" not in ask(["Report_2024"], scan=10)


def test_an_agent_sees_nothing_of_another_tenant(ask, put, service):
    put({"t1/a": {"text": "ours"}, "t2/a": {"text": "theirs"}})
    answer = ask(["t2/a"], key_prefix="t1/", scan=10)
    assert "theirs" not in answer
    assert service.gets == []
    assert "ours" in ask(["t1/a"], key_prefix="t1/")


def test_only_allowed_ids_exist(ask, put, service):
    put(["a", "b"])
    assert "text of b" not in ask(["b"], allowed_keys=["a"])
    assert service.gets == []
    assert "text of a" in ask(["a"], allowed_keys=["a"])


def test_no_embedding_is_shown(ask, put):
    put(["a"], data=[1.5, 0.5, 0.25, -2.75])
    assert "2.75" not in ask(["a"])


def test_the_words_are_the_same_in_both_frameworks(ask, put):
    put(["report-2024", "b"])
    assert without_mark(ask(["b", "Report_2024"], scan=10)) == whole(
        fenced("b", "text of b"), notes='Not found: "Report_2024" (did you mean "report-2024"?)'
    )


@pytest.mark.parametrize(
    "budget", [{"max_characters": 550}, {"max_tokens": 550, "tokenizer": list}]
)
def test_a_budget_has_one_name_and_one_meaning(ask, put, budget):
    put({f"k{number}": {"text": f"{number}" * 300} for number in range(3)})
    answer = ask(["k0", "k1", "k2"], **budget)
    assert len(answer) <= 550
    assert read_answer(answer).texts["k0"].startswith("0" * 200)
    assert answer.endswith('for: "k1", "k2"')


def test_one_document_has_a_bound_of_its_own(ask, put):
    put({"k": {"text": "1234567890" * 10}})
    answer = ask(["k"], max_characters_per_document=50)
    said = read_answer(answer)
    assert said.texts == {"k": "1234567890" * 5}
    assert said.others[0].startswith("[cut: characters 0 to 50 of 100")
